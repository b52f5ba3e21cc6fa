package httpserve

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"
)

// An Admission adapts its limit once in each step: multiplicative decrease while most requests are
// slow, multiplicative increase otherwise.
const (
	adaptStep = 100 * time.Millisecond
	decrease  = 0.8
	increase  = 1.1
	// slowTime is the time after which a request is slow. It is long because refusals, too, delay
	// requests on a busy CPU, and writes that share a commit lose throughput with a lower limit.
	slowTime = time.Second
	// repay is the number of requests that are admitted for each unit of work done while a backlog
	// lags.
	repay = 0.9
	// startCredit is the number of requests that are admitted at once when a backlog begins to lag,
	// so that a few requests are not refused because of the work of others.
	startCredit = 64
	// memory is the factor by which earlier earned and admitted requests are multiplied after each
	// step.
	memory = 0.9
)

// activeTime is the time for which a caller keeps its share after its last request, if none of its
// requests is held.
const activeTime = time.Second

// refusalPause is the time for which the connection of a refused request is not read after the
// answer. It keeps a client that ignores Retry-After from using up the CPU with refusals. It delays
// the next answer on the connection. On a busy machine, refusals took more than 100 ms with a pause
// of 75 ms.
const refusalPause = 25 * time.Millisecond

// refusalsLogged is the shortest time between two log lines about refused requests.
const refusalsLogged = 5 * time.Second

// AdmissionConfig describes an Admission.
type AdmissionConfig struct {
	// Name is the name of the requests in the log.
	Name string
	// MinLimit and MaxLimit bound the limit, 64 and 256 by default. MinLimit should not be low:
	// slow requests may wait for something that a lower limit does not make faster. MaxLimit also
	// bounds how many requests are held; see [Hold].
	MinLimit, MaxLimit int
	// Backlog is the work that requests leave behind. Nil: none.
	Backlog Backlog
	// Logger gets a line when requests are refused. Nil: slog.Default().
	Logger *slog.Logger
}

// A Backlog is the work that requests leave behind when they are answered, one unit each. It must
// be safe for concurrent use, and must not block.
type Backlog interface {
	// Lagging reports whether requests leave more work behind than is done.
	Lagging() bool
	// Done returns how many units of work have been done.
	Done() uint64
	// Stalled reports whether the work waits for another service, so that admitting fewer requests
	// would not make it faster. A stalled backlog limits no requests.
	Stalled() bool
}

// An Admission is an adaptive concurrency limit that callers share fairly. It bounds how many
// requests are in flight after their caller is known. A request beyond the limit is refused at
// once; there is no queue. The limit falls while requests take longer than 1 s, and rises again
// otherwise. There are two more limits unless a backlog is stalled: the number of held requests
// ([Hold]), and while the backlog lags, nine requests are admitted for each ten units of work that
// are done.
//
// A caller is always admitted to an equal share of each limit, also when others have used it up.
// What one caller leaves over, the others may use.
//
// [Admission.Limit] is the middleware in front of the authentication, which calls [ExpectRoom]
// before it verifies a request, and [Admit] afterwards. It is safe for concurrent use.
type Admission struct {
	config AdmissionConfig

	mu       sync.Mutex
	limit    float64
	inFlight int
	held     int
	callers  map[string]*usage

	// Counted in the current step:
	began      time.Time
	peak       int // the most in flight
	done, slow int // requests

	// Of the backlog:
	lagging bool
	paid    uint64  // units of work done, as counted so far
	credit  float64 // number of requests that may be admitted while it lags
	earned  float64 // in the last steps

	refused  int // since the last log line
	loggedAt time.Time
}

// A usage is what a caller uses of the limits.
type usage struct {
	inFlight, held int
	last           time.Time // admission
	admitted       float64   // in the last steps
}

// NewAdmission returns an Admission with its highest limit.
func NewAdmission(config AdmissionConfig) *Admission {
	config.Logger = cmp.Or(config.Logger, slog.Default())
	config.MinLimit, config.MaxLimit = cmp.Or(config.MinLimit, 64), cmp.Or(config.MaxLimit, 256)
	return &Admission{config: config, limit: float64(config.MaxLimit), callers: map[string]*usage{}, began: time.Now()}
}

// ticketKey is the context key of a request's ticket.
type ticketKey struct{}

// A ticket is one request's place in an Admission.
type ticket struct {
	admission *Admission
	caller    string
	at        time.Time // of its admission; zero before
	refused   bool
}

// Limit is a middleware that stands in front of the authentication. A request that is admitted
// counts as in flight until it is answered. After the answer to a refused request, an HTTP/1
// connection pauses for 25 ms.
func (a *Admission) Limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &ticket{admission: a}
		defer t.release()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ticketKey{}, t)))
		if t.refused && r.ProtoMajor == 1 {
			pause(w, r)
		}
	})
}

// pause sends the answer, and delays the reading of the next request on the connection.
func pause(w http.ResponseWriter, r *http.Request) {
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	timer := time.NewTimer(refusalPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// ExpectRoom reports whether the Admission of a request would admit its caller now. It is for a
// check before the expensive ones. ctx is the context of the request. A request that did not pass
// through [Admission.Limit] is always admitted.
func ExpectRoom(ctx context.Context, caller string) bool {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	return !ok || t.admission.expect(t, caller)
}

// Admit admits a request if its Admission has room for the caller, and reports whether it did. ctx
// is the context of the request. A request that did not pass through [Admission.Limit] is always
// admitted.
func Admit(ctx context.Context, caller string) bool {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	return !ok || t.admission.admit(t, caller)
}

// Hold counts an admitted request as held until release is called. A service calls it when it
// continues to work for the request after the answer. ctx is the context of the request. Further
// calls of release have no effect. A request that was not admitted by an Admission is not counted.
func Hold(ctx context.Context) (release func()) {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	if !ok || t.at.IsZero() {
		return func() {}
	}
	t.hold(1)
	return sync.OnceFunc(func() { t.hold(-1) })
}

// hold adds n to the numbers of held requests.
func (t *ticket) hold(n int) {
	a := t.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held += n
	a.usageOf(t.caller).held += n
}

// expect reports whether a caller would be admitted now.
func (a *Admission) expect(t *ticket, caller string) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adapt(now)
	return a.fits(caller) || a.refuse(t, now)
}

// admit admits a request, if there is room for its caller.
func (a *Admission) admit(t *ticket, caller string) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adapt(now)
	if !a.fits(caller) {
		return a.refuse(t, now)
	}
	u := a.usageOf(caller)
	u.inFlight++
	u.last = now
	u.admitted++
	a.credit--
	a.inFlight++
	a.peak = max(a.peak, a.inFlight)
	t.caller, t.at = caller, now
	return true
}

// usageOf returns a caller's usage, and makes it if there is none. a.mu is held.
func (a *Admission) usageOf(caller string) *usage {
	u := a.callers[caller]
	if u == nil {
		u = &usage{}
		a.callers[caller] = u
	}
	return u
}

// release ends the admission of an admitted request.
func (t *ticket) release() {
	if t.at.IsZero() {
		return
	}
	now, a := time.Now(), t.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	a.callers[t.caller].inFlight--
	a.done++
	if now.Sub(t.at) > slowTime {
		a.slow++
	}
	a.adapt(now)
}

// fits reports whether there is room for another request of a caller. a.mu is held.
func (a *Admission) fits(caller string) bool {
	u, sharing := a.callers[caller], len(a.callers)
	if u == nil {
		u, sharing = &usage{}, sharing+1
	}
	full := func(used, usedByCaller, limit int) bool {
		return used >= limit && usedByCaller >= max(1, limit/sharing)
	}
	if full(a.inFlight, u.inFlight, int(a.limit)) {
		return false
	}
	if full(a.held, u.held, a.config.MaxLimit) && !a.stalled() {
		return false
	}
	return !a.lagging || a.credit >= 1 || u.admitted < a.earned/float64(sharing)
}

// stalled reports whether there is a backlog that is stalled.
func (a *Admission) stalled() bool { return a.config.Backlog != nil && a.config.Backlog.Stalled() }

// refuse counts a refused request and returns false. a.mu is held.
func (a *Admission) refuse(t *ticket, now time.Time) bool {
	t.refused = true
	a.refused++
	if now.Sub(a.loggedAt) >= refusalsLogged {
		a.config.Logger.Warn("requests are refused: the service is overloaded",
			"requests", a.config.Name, "refused", a.refused, "in_flight", a.inFlight, "limit", int(a.limit),
			"held", a.held, "held_limit", a.config.MaxLimit, "backlog_lags", a.lagging)
		a.refused, a.loggedAt = 0, now
	}
	return false
}

// adapt ends the current step when its time has passed, and sets the limit of the next. a.mu is
// held.
func (a *Admission) adapt(now time.Time) {
	a.earn()
	steps := int(now.Sub(a.began) / adaptStep)
	if steps == 0 {
		return
	}
	lowered := decrease * min(a.limit, float64(a.peak))
	if 2*a.slow > a.done {
		a.limit = max(lowered, float64(a.config.MinLimit))
	} else {
		a.limit = min(a.limit*math.Pow(increase, float64(steps)), float64(a.config.MaxLimit))
	}
	a.began, a.peak, a.done, a.slow = now, a.inFlight, 0, 0
	decay := math.Pow(memory, float64(steps))
	a.earned *= decay
	for caller, u := range a.callers {
		u.admitted *= decay
		if u.inFlight+u.held == 0 && now.Sub(u.last) > activeTime {
			delete(a.callers, caller)
		}
	}
}

// earn counts the work that has been done. a.mu is held.
func (a *Admission) earn() {
	if a.config.Backlog == nil {
		return
	}
	done := a.config.Backlog.Done()
	more := repay * float64(done-a.paid)
	a.paid = done
	a.earned += more
	lagged := a.lagging
	a.lagging = a.config.Backlog.Lagging() && !a.stalled()
	if !lagged {
		a.credit = startCredit
		return
	}
	a.credit = min(a.credit+more, float64(a.config.MaxLimit))
}
