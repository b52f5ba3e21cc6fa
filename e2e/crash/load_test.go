package crash_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/smtptest"
)

// clients is the number of concurrent clients.
const clients = 32

// postMany posts to the Heralds in turn and returns when all notifications are accepted.
func (w *world) postMany(t *testing.T, n int) {
	t.Helper()
	heralds := []*herald{w.a, w.b}
	if w.b == nil {
		heralds = heralds[:1]
	}
	var left atomic.Int64
	left.Store(int64(n))
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				w.request(t.Context(), heralds[i%len(heralds)])
			}
		})
	}
	wait.Wait()
}

// deferring refuses about every fifth mail with 451, at RCPT and at the final dot in turn. It stops
// after the given number of mails.
func deferring(mails int) mailFault {
	var count atomic.Int64
	return func(at smtptest.Stage) (smtptest.Fault, bool) {
		if at != smtptest.AtRcpt && at != smtptest.AtData {
			return smtptest.Fault{}, false
		}
		n := count.Add(1) // two for each mail, or one when RCPT is refused
		return smtptest.Fault{Code: 451}, n <= 2*int64(mails) && n%9 == 0
	}
}

// testTwoReplicas makes two Heralds with one database send many mails. The mail servers defer about
// 20 % of them.
func testTwoReplicas(t *testing.T, s *stack.Stack) {
	mails := 200
	if *full {
		mails = 10_000 // no other test runs at the same time
	}
	w := newWorld(t, s)
	if err := w.start(t.Context(), s, true); err != nil {
		t.Fatal(err)
	}
	w.a.fail(deferring(mails / 2))
	w.b.fail(deferring(mails / 2))
	begun := time.Now()
	w.postMany(t, mails)
	accepted := time.Since(begun)
	got := w.count(t.Context())
	for _, fault := range got.faults {
		t.Error(fault)
	}
	deferred := got.Attempts - got.Notifications
	if got.Notifications != mails || got.Failed > 0 || got.Marked > 0 || deferred < mails/10 {
		t.Errorf("got %+v", got)
	}
	both := newTable("two replicas", "result", "deferred", "accepted within", "finished within")
	both.add("", got.String(), strconv.Itoa(deferred), accepted.Round(time.Millisecond).String(),
		time.Since(begun).Round(time.Second).String())
	both.print(t, "Two replicas and a mail server that defers mails")
}

// testRefusedSender makes the mail server refuse the sender of all mails for 6 s. This is a fault
// of the server: no mail fails and no attempt is used up.
func testRefusedSender(t *testing.T, s *stack.Stack) {
	const mails, duration = 150, 6 * time.Second
	w := newWorld(t, s)
	if err := w.start(t.Context(), s, false); err != nil {
		t.Fatal(err)
	}
	w.a.fail(func(at smtptest.Stage) (smtptest.Fault, bool) {
		return smtptest.Fault{Code: 554}, at == smtptest.AtMail
	})
	w.postMany(t, mails)
	time.Sleep(duration)
	if sent := len(w.a.mail.Mails()); sent > 0 {
		t.Errorf("%d mails were sent", sent)
	}
	w.a.clear()
	requests := w.requests
	got := w.count(t.Context())
	for _, fault := range got.faults {
		t.Error(fault)
	}
	for _, r := range requests {
		for _, a := range r.state.Attempts { // an overloaded Census may have used up an attempt
			if a.SMTPCode >= 400 {
				t.Errorf("attempts: %+v", r.state.Attempts)
			}
		}
	}
	if got.Failed > 0 || got.Marked > 0 || got.Doubled > 0 {
		t.Errorf("got %+v", got)
	}
}
