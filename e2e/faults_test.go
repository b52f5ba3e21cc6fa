package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

// recoverWithin is the time limit of a recovery. The first retry comes after 10 s at the earliest,
// and a killed process is detected within seconds.
const recoverWithin = 45 * time.Second

func TestCensusDownAndBack(t *testing.T) {
	another, _, _ := callers(t)
	if err := sys.stop(t.Context(), "census"); err != nil {
		t.Fatal(err)
	}
	restore(t, "census")
	n := post(t, another)
	awaitFailedAttempt(t, n)
	if err := sys.start(t.Context(), "census"); err != nil {
		t.Fatal(err)
	}
	awaitOneMail(t, n, recoverWithin)
}

func TestMailServerDownAndBack(t *testing.T) {
	another, _, _ := callers(t)
	if err := sys.stop(t.Context(), "mail"); err != nil {
		t.Fatal(err)
	}
	restore(t, "mail")
	n := post(t, another)
	time.Sleep(3 * time.Second)
	if got := status(t, n); got.Status == "sent" || got.Status == "failed" || len(got.Attempts) > 1 ||
		len(got.Attempts) == 1 && got.Attempts[0].Outcome != "" {
		t.Errorf("the fault of the mail server used up an attempt: %+v", got)
	}
	if err := sys.start(t.Context(), "mail"); err != nil {
		t.Fatal(err)
	}
	awaitOneMail(t, n, recoverWithin)
	if got := status(t, n); len(got.Attempts) != 1 || got.PossibleDuplicate {
		t.Errorf("after the fault: %+v", got)
	}
}

// awaitFailedAttempt waits until an attempt has ended and checks that the notification waits for
// the next one.
func awaitFailedAttempt(t *testing.T, n notification) {
	t.Helper()
	var got notification
	await(t, "failed attempt", 15*time.Second, func() bool {
		got = status(t, n)
		return len(got.Attempts) > 0 && got.Attempts[0].Outcome != ""
	})
	if got.Status != "queued" || got.Attempts[0].Outcome == "accepted" {
		t.Errorf("while a dependency is down: %+v", got)
	}
}

// TestHeraldKilled kills Herald at many moments between the 201 response and the mail. No accepted
// notification may be lost, and a mail that is sent twice must be marked.
func TestHeraldKilled(t *testing.T) {
	another, _, _ := callers(t)
	var created []notification
	for range 5 {
		restore(t, "herald")
		created = append(created, burst(t, another, 8)...)
		if err := sys.kill(t.Context(), "herald"); err != nil {
			t.Fatal(err)
		}
		if err := sys.start(t.Context(), "herald"); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range created {
		mails := awaitSent(t, n, recoverWithin)
		if len(mails) == 0 || len(mails) > 1 && !status(t, n).PossibleDuplicate {
			t.Errorf("%d mails of %+v", len(mails), status(t, n))
		}
	}
}

// burst posts n notifications at once and returns when all are accepted.
func burst(t *testing.T, caller *stack.Caller, n int) []notification {
	t.Helper()
	created := make([]notification, n)
	var wait sync.WaitGroup
	for i := range created {
		wait.Go(func() {
			res, err := caller.Call(t.Context(), http.MethodPost, notifications, welcome, stack.Reader.Subject())
			if err == nil {
				created[i], err = accepted(res)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return created
}

func TestTwoHeralds(t *testing.T) {
	addr, stop, err := sys.secondHerald(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	first, _, _ := callers(t)
	second, secondShop, _, err := sys.callers(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range append(burst(t, first, 20), burst(t, second, 20)...) {
		awaitOneMail(t, n, 15*time.Second)
	}
	replayAcross(t, secondShop)
}

// replayAcross sends each of a thousand tokens to both Heralds at once. Exactly one of the two must
// accept each token. The request itself is invalid and refused after the token is used, so that no
// mail is sent.
func replayAcross(t *testing.T, second *stack.Caller) {
	t.Helper()
	const tokens, workers = 1000, 4
	const unknownType = `{"user":"https://census.service/user/42/","type":"no-such-message"}`
	_, first, _ := callers(t)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range tokens / workers {
				req, err := first.Request(t.Context(), http.MethodPost, notifications, unknownType, stack.Reader.Subject())
				if err != nil {
					t.Error(err)
					return
				}
				got := [2]int{}
				var pair sync.WaitGroup
				for i, herald := range []*stack.Caller{first, second} {
					pair.Go(func() { got[i] = statusOfCopy(t, herald, req) })
				}
				pair.Wait()
				if got != [2]int{422, 401} && got != [2]int{401, 422} {
					t.Errorf("one token at two Heralds: %v", got)
				}
			}
		})
	}
	wait.Wait()
}

// statusOfCopy sends a copy of a request and returns the status.
func statusOfCopy(t *testing.T, caller *stack.Caller, req *http.Request) int {
	t.Helper()
	res, err := caller.Send(copyOf(t.Context(), req))
	if err != nil {
		t.Error(err)
		return 0
	}
	return res.Status
}

// copyOf returns a copy of a request that can be sent beside it.
func copyOf(ctx context.Context, req *http.Request) *http.Request {
	again := req.Clone(ctx)
	again.Body, _ = req.GetBody() // cannot fail, as the body is in memory
	return again
}

// TestHeraldStopsUnderLoad sends SIGTERM under load. Each request either cannot connect or is
// answered, and each 201 results in one mail.
func TestHeraldStopsUnderLoad(t *testing.T) {
	another, _, _ := callers(t)
	restore(t, "herald")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	var created []notification
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for ctx.Err() == nil {
				var sent atomic.Bool
				res, err := another.Call(onSent(ctx, &sent), http.MethodPost, notifications, welcome, stack.Reader.Subject())
				if err != nil && !sent.Load() {
					return
				}
				var n notification
				if err == nil {
					n, err = accepted(res)
				}
				if err != nil {
					t.Errorf("a request that reached Herald failed: %v", err)
					return
				}
				mu.Lock()
				created = append(created, n)
				mu.Unlock()
			}
		})
	}
	await(t, "load", 30*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(created) >= 50
	})
	if err := sys.stop(t.Context(), "herald"); err != nil {
		t.Error(err)
	}
	wait.Wait()
	if err := sys.start(t.Context(), "herald"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d notifications were accepted", len(created))
	for _, n := range created {
		awaitOneMail(t, n, recoverWithin)
	}
}

// onSent returns a context whose request sets sent when the first header field is written to a
// connection.
func onSent(ctx context.Context, sent *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { sent.Store(true) },
	})
}
