package delivery_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/pkg/smtptest"
)

// startReady starts a service and waits until it is ready.
func (w *world) startReady(t *testing.T, config delivery.Config) (service *delivery.Service, stop func()) {
	t.Helper()
	service, stop = w.start(t, config)
	awaitTrue(t, "ready", func() bool { return service.Ready(t.Context()) == nil })
	return service, stop
}

// The notification that the tests accept, and its recipient.
var (
	claim     = herald.Claim{Request: herald.Request{Creator: creator, UserID: 42, Type: herald.WelcomeMessage}}
	recipient = herald.Recipient{Name: "Census", Email: address, Locale: "en"}
)

// accept calls Accept with a fresh answer of Census.
func accept(t *testing.T, s *delivery.Service) uuid.UUID {
	t.Helper()
	return acceptHeld(t, s, 0, func() {})
}

// acceptHeld calls Accept with an answer of Census of the given age.
func acceptHeld(t *testing.T, s *delivery.Service, ago time.Duration, release func()) uuid.UUID {
	t.Helper()
	n, err := s.Accept(t.Context(), claim, recipient, time.Now().Add(-ago), release)
	if err != nil {
		t.Fatal(err)
	}
	return n.ID
}

// TestAcceptDeliversAtOnce checks that an accepted notification is delivered without the queue, and
// without another request to Census unless Census's answer is old.
func TestAcceptDeliversAtOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ago   time.Duration
		asked int32
	}{"fresh": {0, 0}, "old": {time.Minute, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			w := newWorld(t, smtptest.Config{OnMail: func(smtptest.Mail) { g.pass() }})
			service, _ := w.startReady(t, quick)
			var released atomic.Bool
			id := acceptHeld(t, service, test.ago, func() { released.Store(true) })
			if n := w.jobs(t, "running"); n != 1 {
				t.Errorf("%d jobs are running", n)
			}
			g.await(t)
			if released.Load() {
				t.Error("released before the delivery has ended")
			}
			g.release()
			awaitTrue(t, "released", released.Load)
			n := w.await(t, id, final)
			if n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
				t.Errorf("got %+v", n)
			}
			if asked := w.asked.Load(); asked != test.asked {
				t.Errorf("Census was asked %d times", asked)
			}
			w.wantMails(t, id, 1)
		})
	}
}

// TestAcceptReleasesWhilePaused accepts a notification while the mail server refuses all mail. The
// request is released although the delivery has not ended.
func TestAcceptReleasesWhilePaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.mail.Fail(smtptest.Fault{At: smtptest.AtConnect})
	service, _ := w.startReady(t, quick)
	var released atomic.Bool
	id := acceptHeld(t, service, 0, func() { released.Store(true) })
	awaitTrue(t, "released", released.Load)
	if n := w.await(t, id, always); n.Status.Final() {
		t.Errorf("got %+v", n)
	}
}

// TestAcceptReleasesAfterAnError accepts a notification that cannot be stored.
func TestAcceptReleasesAfterAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	service, _ := w.startReady(t, quick)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	released := false
	_, err := service.Accept(ctx, claim, recipient, time.Now(), func() { released = true })
	if err == nil || !released {
		t.Errorf("error %v, released %t", err, released)
	}
}

// TestAcceptsManyAtOnce accepts more notifications than the limit of direct executions. The others
// go through the queue.
func TestAcceptsManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	service, _ := w.startReady(t, delivery.Config{Workers: 10})
	ids := make([]uuid.UUID, 600)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() { ids[i] = accept(t, service) })
	}
	wait.Wait()
	for _, id := range ids {
		if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate {
			t.Errorf("got %+v", n)
		}
		w.wantMails(t, id, 1)
	}
}

// TestStopEndsDirectDeliveries stops a service while the mail server delays the reply to a direct
// delivery: for a moment, or for longer than the grace period.
func TestStopEndsDirectDeliveries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		grace     time.Duration
		outcomes  string
		duplicate bool
		mails     int
	}{
		"a moment": {0, "accepted", false, 1},
		"too long": {50 * time.Millisecond, "unknown,accepted", true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			w := newWorld(t, smtptest.Config{OnMail: func(smtptest.Mail) { g.pass() }})
			config := quick
			config.Grace = test.grace
			service, stop := w.startReady(t, config)
			id := accept(t, service)
			g.await(t)
			if test.grace == 0 {
				time.AfterFunc(200*time.Millisecond, g.release)
			}
			stop()
			g.release()
			w.work(t, quick)
			n := w.await(t, id, final)
			if n.Status != herald.Sent || n.PossibleDuplicate != test.duplicate || outcomes(n) != test.outcomes {
				t.Errorf("got %+v", n)
			}
			w.wantMails(t, id, test.mails)
		})
	}
}

// TestAcceptAtStop accepts a notification while the service stops. The next service delivers it.
func TestAcceptAtStop(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	w := newWorld(t, smtptest.Config{OnMail: func(smtptest.Mail) { g.pass() }})
	service, stop := w.startReady(t, quick)
	accept(t, service)
	g.await(t)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	var late uuid.UUID
	awaitTrue(t, "a stopping service starts no delivery", func() bool {
		time.Sleep(100 * time.Millisecond)
		late = accept(t, service)
		return w.await(t, late, always).Status == herald.Queued
	})
	released := false
	late = acceptHeld(t, service, 0, func() { released = true })
	if !released {
		t.Error("not released, although the delivery does not start")
	}
	g.release()
	<-stopped
	w.work(t, quick)
	w.await(t, late, final)
	w.wantMails(t, late, 1)
}
