package delivery_test

import (
	"testing"
	"time"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/smtptest"
)

// TestTwoExecutionsInOneProcess has a process that was taken for dead fetch the same job again
// while its first execution still runs. The end of the first execution must not make the second one
// look like a lost job.
func TestTwoExecutionsInOneProcess(t *testing.T) {
	t.Parallel()
	arrivals := make(chan chan struct{}, 10)
	w := newWorld(t, smtptest.Config{OnMail: func(smtptest.Mail) {
		release := make(chan struct{})
		arrivals <- release
		<-release
	}})
	w.work(t, quick)
	id := w.create(t)
	first := <-arrivals
	if _, err := w.pool.Exec(t.Context(), `update river_job set state = 'available'`); err != nil {
		t.Fatal(err)
	}
	second := <-arrivals
	close(first)
	select {
	case third := <-arrivals:
		t.Error("it is sent a third time")
		close(third)
	case <-time.After(5 * time.Second): // a lost job is handed back after 3 s
	}
	close(second)
	n := w.await(t, id, final)
	if n.Status != herald.Sent || !n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 2)
}
