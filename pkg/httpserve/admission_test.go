package httpserve_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/httpserve"
)

// An admissionTest is a handler with an Admission, and counts of the calls that a test makes.
type admissionTest struct {
	handler  http.Handler
	duration atomic.Int64             // time.Duration of the handler
	holds    atomic.Int64             // time.Duration for which a request is held
	answered sync.WaitGroup           // all calls
	accepted map[string]*atomic.Int64 // by caller
	refused  map[string]*atomic.Int64 // by caller
}

// The callers of the tests.
const (
	flooder  = "https://flooder.service/"
	moderate = "https://moderate.service/"
)

func newAdmissionTest(backlog httpserve.Backlog) *admissionTest {
	a := &admissionTest{accepted: map[string]*atomic.Int64{}, refused: map[string]*atomic.Int64{}}
	for _, c := range []string{flooder, moderate} {
		a.accepted[c], a.refused[c] = &atomic.Int64{}, &atomic.Int64{}
	}
	admission := httpserve.NewAdmission(httpserve.AdmissionConfig{
		Name: "test", Backlog: backlog, Logger: slog.New(slog.DiscardHandler),
	})
	a.handler = admission.Limit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		caller := r.Header.Get("Caller")
		if !httpserve.ExpectRoom(r.Context(), caller) || !httpserve.Admit(r.Context(), caller) {
			a.refused[caller].Add(1)
			return
		}
		a.accepted[caller].Add(1)
		release := httpserve.Hold(r.Context())
		time.AfterFunc(time.Duration(a.holds.Load()), func() {
			release()
			release() // has no effect
		})
		time.Sleep(time.Duration(a.duration.Load()))
	}))
	return a
}

// call makes n calls that arrive together.
func (a *admissionTest) call(caller string, n int) {
	for range n {
		a.answered.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Caller", caller)
			a.handler.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}

// counts returns how many of a caller's calls were accepted and refused since the last call of
// counts.
func (a *admissionTest) counts(caller string) (accepted, refused int64) {
	synctest.Wait()
	return a.accepted[caller].Swap(0), a.refused[caller].Swap(0)
}

// Calls over the limit are refused at once. Calls are accepted again as soon as others are
// answered.
func TestAdmissionLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmissionTest(nil)
		a.duration.Store(int64(10 * time.Millisecond))
		a.call(flooder, 1000)
		if accepted, refused := a.counts(flooder); accepted != 256 || refused != 744 {
			t.Errorf("of 1000 calls %d accepted, %d refused at once", accepted, refused)
		}
		a.answered.Wait()
		a.call(flooder, 256)
		if accepted, _ := a.counts(flooder); accepted != 256 {
			t.Errorf("after the answers: %d accepted", accepted)
		}
		a.answered.Wait()
	})
}

// A panic of the handler ends the admission of its request.
func TestAdmissionAfterPanic(t *testing.T) {
	t.Parallel()
	admission := httpserve.NewAdmission(httpserve.AdmissionConfig{Logger: slog.New(slog.DiscardHandler)})
	admitted := 0
	handler := admission.Limit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if httpserve.Admit(r.Context(), moderate) {
			admitted++
		}
		panic(http.ErrAbortHandler)
	}))
	for range 300 {
		func() {
			defer func() { _ = recover() }()
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}()
	}
	if admitted != 300 {
		t.Errorf("%d of 300 admitted", admitted)
	}
}

// While requests are slow the limit falls to 64. When they are fast again it returns to 256 within
// seconds.
func TestAdmissionAdapts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmissionTest(nil)
		flood := func(takes, lasts time.Duration) (inFlight int64) {
			a.duration.Store(int64(takes))
			for end := time.Now().Add(lasts); time.Now().Before(end); {
				a.call(flooder, 300)
				inFlight, _ = a.counts(flooder)
				time.Sleep(takes + time.Millisecond)
			}
			a.answered.Wait()
			return inFlight
		}
		if got := flood(2*time.Second, 40*time.Second); got != 64 {
			t.Errorf("%d slow requests in flight", got)
		}
		if got := flood(20*time.Millisecond, 2*time.Second); got != 256 {
			t.Errorf("%d fast requests in flight", got)
		}
	})
}

// A caller gets an equal share, however many calls another one has in flight.
func TestAdmissionIsFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmissionTest(nil)
		a.duration.Store(int64(100 * time.Millisecond))
		for i := range 100 {
			a.call(flooder, 500)
			a.call(moderate, 4) // of which 40 at a time are in flight
			synctest.Wait()
			if i == 50 {
				a.counts(flooder)
				a.counts(moderate)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if accepted, refused := a.counts(moderate); refused > 0 {
			t.Errorf("moderate caller: %d accepted, %d refused", accepted, refused)
		}
		if accepted, _ := a.counts(flooder); accepted < 500 { // 256 − 40 for each 100 ms
			t.Errorf("flooding caller: %d accepted of what the moderate caller does not use", accepted)
		}
		a.answered.Wait()
	})
}

// Requests that are held after their answer have a limit of their own, in which each caller has an
// equal share. There is no such limit while the backlog is stalled.
func TestAdmissionOfHeldRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stalled         bool
		accepted, later int64 // of 500; of 100 when the first are still held
	}{"working": {false, 256, 0}, "stalled": {true, 500, 100}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAdmissionTest(&worker{stalled: c.stalled})
				a.duration.Store(int64(time.Millisecond))
				accepted := func(caller string, calls int) int64 {
					for range calls / 100 {
						a.call(caller, 100)
						a.answered.Wait()
					}
					accepted, _ := a.counts(caller)
					return accepted
				}
				a.holds.Store(int64(10 * time.Second))
				if got := accepted(flooder, 500); got != c.accepted {
					t.Errorf("%d of 500 accepted", got)
				}
				if got := accepted(moderate, 100); got != 100 {
					t.Errorf("moderate caller: %d of 100 accepted", got)
				}
				time.Sleep(5 * time.Second) // longer than a caller without requests keeps its share
				if got := accepted(flooder, 100); got != c.later {
					t.Errorf("%d of 100 accepted after a pause", got)
				}
				time.Sleep(15 * time.Second)
				if got := accepted(flooder, 500); got != c.accepted {
					t.Errorf("%d of 500 accepted when none was held", got)
				}
				time.Sleep(10 * time.Second)
			})
		})
	}
}

// A worker is a Backlog that does a unit of work at regular intervals, and lags when more than 100
// units are left.
type worker struct {
	left, most atomic.Int64
	done       atomic.Uint64
	stalled    bool
}

func (w *worker) Lagging() bool { return w.left.Load() > 100 }
func (w *worker) Done() uint64  { return w.done.Load() }
func (w *worker) Stalled() bool { return w.stalled }

// work does a unit of work in each period, for as long as lasts.
func (w *worker) work(period, lasts time.Duration) {
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		time.Sleep(period)
		w.most.Store(max(w.most.Load(), w.left.Load()))
		if w.left.Load() > 0 {
			w.left.Add(-1)
			w.done.Add(1)
		}
	}
}

// While requests leave behind more work than is done, only as many are accepted as units are done,
// and little work is left at a time. The callers share what is accepted.
func TestAdmissionFollowsBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &worker{}
		a := newAdmissionTest(w)
		a.duration.Store(int64(time.Millisecond))
		var moderateAccepted, moderateRefused int64
		go w.work(time.Millisecond, 6*time.Second) // 1000 in a second
		for i := range 400 {
			a.call(flooder, 100) // 10,000 in a second
			if i%2 == 0 {
				a.call(moderate, 1) // 50 in a second
			}
			accepted, _ := a.counts(flooder)
			more, refused := a.counts(moderate)
			w.left.Add(accepted + more)
			if i > 100 {
				moderateAccepted, moderateRefused = moderateAccepted+more, moderateRefused+refused
			}
			time.Sleep(10 * time.Millisecond)
		}
		if done := w.done.Load(); done < 3600 || done > 4000 {
			t.Errorf("%d units of work done in 4 s, not 1000 in a second", done)
		}
		if most := w.most.Load(); most > 500 {
			t.Errorf("%d units of work were left at a time", most)
		}
		if moderateRefused > 0 {
			t.Errorf("moderate caller: %d accepted, %d refused", moderateAccepted, moderateRefused)
		}
		time.Sleep(time.Second)
		if left := w.left.Load(); left > 0 {
			t.Errorf("%d units of work left a second afterwards", left)
		}
		a.call(flooder, 100)
		if accepted, _ := a.counts(flooder); accepted != 100 {
			t.Errorf("%d of 100 accepted a second afterwards", accepted)
		}
		time.Sleep(2 * time.Second)
	})
}

// A stalled backlog limits no requests, however much work is left.
func TestAdmissionDuringStalledBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &worker{stalled: true}
		w.left.Store(10_000)
		a := newAdmissionTest(w)
		for range 10 {
			a.call(flooder, 100)
			a.answered.Wait()
		}
		if accepted, refused := a.counts(flooder); accepted != 1000 {
			t.Errorf("%d accepted, %d refused", accepted, refused)
		}
	})
}

// A refusal is answered at once and completely. The connection then pauses before its next request
// is read.
func TestAdmissionPauses(t *testing.T) {
	t.Parallel()
	admission := httpserve.NewAdmission(httpserve.AdmissionConfig{MinLimit: 1, MaxLimit: 1, Logger: slog.New(slog.DiscardHandler)})
	begun, end := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(admission.Limit(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if httpserve.Admit(r.Context(), flooder) {
			close(begun)
			<-end
			return
		}
		w.Header().Set("Content-Length", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "refused")
	})))
	t.Cleanup(server.Close)
	get := func() (int, string) {
		res, err := server.Client().Get(server.URL)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return res.StatusCode, string(body)
	}
	var inFlight sync.WaitGroup
	inFlight.Go(func() { get() })
	<-begun
	const refusals = 8
	first := time.Duration(0)
	start := time.Now()
	for i := range refusals {
		if status, body := get(); status != http.StatusServiceUnavailable || body != "refused" {
			t.Errorf("status %d, body %q", status, body)
		}
		if i == 0 {
			first = time.Since(start)
		}
	}
	if took := time.Since(start); took < (refusals-1)*25*time.Millisecond || first > took/2 {
		t.Errorf("the first of %d refusals took %v, all of them %v", refusals, first, took)
	}
	close(end)
	inFlight.Wait()
}

// A caller with few requests is admitted however much work others have left behind, as long as some
// of it is done.
func TestAdmissionOfFewDuringBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &worker{}
		w.left.Store(10_000)
		a := newAdmissionTest(w)
		go w.work(10*time.Millisecond, 20*time.Second) // 100 in a second
		for range 1000 {
			a.call(moderate, 1) // 50 in a second
			time.Sleep(20 * time.Millisecond)
		}
		if accepted, refused := a.counts(moderate); refused > 0 {
			t.Errorf("%d accepted, %d refused", accepted, refused)
		}
		time.Sleep(time.Second)
	})
}
