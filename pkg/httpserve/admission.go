package httpserve

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// How an Admission adapts its limit, once in each step: multiplicative decrease while most requests are slow,
// multiplicative increase otherwise.
const (
	adaptStep = 100 * time.Millisecond
	decrease  = 0.8
	increase  = 1.1
	// slowTime is how long a request may take that does not indicate overload. It is long because refusals, too, delay
	// requests on a busy CPU, and writes that share a commit lose throughput by a lower limit.
	slowTime = time.Second
	// repay is how many requests are admitted for each unit of work that is done while a backlog lags.
	repay = 0.9
	// startCredit is how many requests are admitted at once when a backlog begins to lag. It keeps a few requests from
	// being refused because of work that others have left behind.
	startCredit = 64
	// memory is how much of what was earned and admitted still counts after a step.
	memory = 0.9
)

// activeTime is how long a caller has a share after its last request.
const activeTime = time.Second

// refusalPause is how long the connection of a refused request is not read from after the answer. It keeps a client that
// ignores Retry-After from using up the CPU with refusals.
const refusalPause = 25 * time.Millisecond

// refusalsLogged is the shortest time between two log lines about refused requests.
const refusalsLogged = 5 * time.Second

// AdmissionConfig describes an Admission.
type AdmissionConfig struct {
	// Name says in the log which requests are meant.
	Name string
	// MinLimit and MaxLimit are between which limits the Admission adapts, 64 and 256 by default. MinLimit should not be
	// low: slow requests may wait for something that a lower limit does not make faster.
	MinLimit, MaxLimit int
	// Backlog, where set, is the work that requests leave behind.
	Backlog Backlog
	// Logger is told when requests are refused. The default is slog.Default().
	Logger *slog.Logger
}

// A Backlog is the work that requests leave behind when they are answered, a unit each. It must be safe for concurrent
// use, and must not block.
type Backlog interface {
	// Lagging reports whether requests leave more work behind than is done.
	Lagging() bool
	// Done returns how many units of work have been done.
	Done() uint64
}

// An Admission is an adaptive concurrency limit that callers share fairly. It bounds how many requests are in flight
// after their verification. A request beyond the limit is refused at once, by the Verifier whose Admission this is, and
// nothing waits in a queue. The limit falls while requests take longer than 1 s, and rises again otherwise. While a
// backlog lags, there is a second limit: nine requests are admitted for each ten units of work that are done.
//
// A caller is always admitted to an equal share of either limit, also when others have used it up; what one leaves over
// the others may use. A caller is a verified issuer; the users of its session tokens count as another one.
//
//	admission := httpserve.NewAdmission(httpserve.AdmissionConfig{Name: "requests"})
//	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{..., Admission: httpserve.PerRoute{}})
//	router.Use(admission.Limit, verifier.Require(maxBody))
//
// It is safe for concurrent use.
type Admission struct {
	config AdmissionConfig

	mu       sync.Mutex
	limit    float64
	inFlight int
	callers  map[caller]*usage

	// Of the present step:
	began      time.Time
	peak       int // the most in flight
	done, slow int // requests

	// Of the backlog:
	lagging bool
	paid    uint64  // units of work done that have been counted
	credit  float64 // requests that may be admitted while it lags
	earned  float64 // lately

	refused  int // since logged
	loggedAt time.Time
}

// A caller is whose requests share the limit with those of others.
type caller struct {
	issuer  string
	session bool
}

// A usage is what a caller has of the limit.
type usage struct {
	inFlight int
	last     time.Time // admission
	admitted float64   // lately
}

// NewAdmission returns an Admission with its highest limit.
func NewAdmission(config AdmissionConfig) *Admission {
	config.Logger = cmp.Or(config.Logger, slog.Default())
	config.MinLimit, config.MaxLimit = cmp.Or(config.MinLimit, 64), cmp.Or(config.MaxLimit, 256)
	return &Admission{config: config, limit: float64(config.MaxLimit), callers: map[caller]*usage{}, began: time.Now()}
}

// PerRoute is the svcauth.Admission of a Verifier in front of which one or more Admissions stand: each request is
// admitted by the Admission whose Limit it has come through. A request that has come through none is admitted.
type PerRoute struct{}

// ticketKey is the context key of a request's ticket.
type ticketKey struct{}

// A ticket is one request's claim to a place in an Admission.
type ticket struct {
	admission *Admission
	caller    caller
	at        time.Time // of its admission; zero before
	refused   bool
}

// Limit is a middleware that stands in front of the Verifier and ends the admission of each request with its answer.
// After the answer to a refused request, an HTTP/1 connection pauses for 25 ms.
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

// pause sends the answer and keeps the server from reading the connection's next request for a moment.
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

// Expect implements svcauth.Admission.
func (PerRoute) Expect(ctx context.Context, claimed svcauth.Caller) bool {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	return !ok || t.admission.expect(t, caller{claimed.Issuer, claimed.Session})
}

// Admit implements svcauth.Admission.
func (PerRoute) Admit(ctx context.Context, verified svcauth.Caller) bool {
	t, ok := ctx.Value(ticketKey{}).(*ticket)
	return !ok || t.admission.admit(t, caller{verified.Issuer, verified.Session})
}

// expect reports whether a caller would be admitted now.
func (a *Admission) expect(t *ticket, c caller) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adapt(now)
	return a.fits(c) || a.refuse(t, now)
}

// admit admits a request, if there is room for its caller.
func (a *Admission) admit(t *ticket, c caller) bool {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adapt(now)
	if !a.fits(c) {
		return a.refuse(t, now)
	}
	u := a.callers[c]
	if u == nil {
		u = &usage{}
		a.callers[c] = u
	}
	u.inFlight++
	u.last = now
	u.admitted++
	a.credit--
	a.inFlight++
	a.peak = max(a.peak, a.inFlight)
	t.caller, t.at = c, now
	return true
}

// release gives the place of an admitted request back.
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
func (a *Admission) fits(c caller) bool {
	u, sharing := a.callers[c], len(a.callers)
	if u == nil {
		u, sharing = &usage{}, sharing+1
	}
	if limit := int(a.limit); a.inFlight >= limit && u.inFlight >= max(1, limit/sharing) {
		return false
	}
	return !a.lagging || a.credit >= 1 || u.admitted < a.earned/float64(sharing)
}

// refuse counts a refused request and returns false. a.mu is held.
func (a *Admission) refuse(t *ticket, now time.Time) bool {
	t.refused = true
	a.refused++
	if now.Sub(a.loggedAt) >= refusalsLogged {
		a.config.Logger.Warn("requests are refused: the service is overloaded",
			"requests", a.config.Name, "refused", a.refused, "in_flight", a.inFlight, "limit", int(a.limit), "backlog_lags", a.lagging)
		a.refused, a.loggedAt = 0, now
	}
	return false
}

// adapt ends the present step when it is over, and sets the limit of the next. a.mu is held.
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
	forget := math.Pow(memory, float64(steps))
	a.earned *= forget
	for c, u := range a.callers {
		u.admitted *= forget
		if u.inFlight == 0 && now.Sub(u.last) > activeTime {
			delete(a.callers, c)
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
	a.lagging = a.config.Backlog.Lagging()
	if !lagged {
		a.credit = startCredit
		return
	}
	a.credit = min(a.credit+more, float64(a.config.MaxLimit))
}
