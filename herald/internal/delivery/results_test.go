package delivery_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/pkg/smtptest"
)

func TestSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	stop := w.work(t, quick)
	id := w.create(t)
	n := w.await(t, id, final)
	if n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" || n.Attempts[0].SMTPCode != 250 ||
		n.NextAttemptAt != nil {
		t.Errorf("got %+v", n)
	}
	if got := w.mail.Mails()[0]; got.To[0] != address || !strings.Contains(string(got.Data), "Census User") {
		t.Errorf("mail to %q: %s", got.To, got.Data)
	}
	// The job is completed in the same transaction as the notification.
	if completed := w.jobs(t, "completed"); completed != 1 {
		t.Errorf("%d jobs are completed", completed)
	}
	stop()
	w.wantMails(t, id, 1)
}

// TestFailsForGood checks each error that is not retried.
func TestFailsForGood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  smtptest.Fault
		status int
		body   string
		code   int
		detail string
	}{
		"RCPT": {
			fault: smtptest.Fault{At: smtptest.AtRcpt, Code: 550}, status: 200, body: user42, code: 550,
			detail: "recipient",
		},
		"size": {
			fault: smtptest.Fault{At: smtptest.AtMail, Code: 552}, status: 200, body: user42, code: 552,
			detail: "sender",
		},
		"DATA": {
			fault: smtptest.Fault{At: smtptest.AtData, Code: 554}, status: 200, body: user42, code: 554,
			detail: "message",
		},
		"may not see the user": {status: 403, detail: "does not let"},
		"no such user":         {status: 404, detail: "no such user"},
		"CRLF in name": {
			status: 200, body: strings.Replace(user42, "Census User", `Eve\r\nBcc: all@example.com`, 1),
			detail: "name or address",
		},
		"encoded word in name": {
			status: 200, body: strings.Replace(user42, "Census User", `=?utf-8?q?Eve=0D=0ABcc:_x?=`, 1),
			detail: "name or address",
		},
		"LF in address": {
			status: 200, body: strings.Replace(user42, address, `eve@example.com\nBcc: all@example.com`, 1),
			detail: "name or address",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, smtptest.Config{})
			w.answers(test.status, test.body)
			if test.fault.At != 0 {
				w.mail.Fail(test.fault)
			}
			w.work(t, quick)
			n := w.await(t, w.create(t), final)
			if n.Status != herald.Failed || n.PossibleDuplicate || n.NextAttemptAt != nil || outcomes(n) != "refused" {
				t.Fatalf("got %+v", n)
			}
			a := n.Attempts[0]
			if a.SMTPCode != test.code || !strings.Contains(a.Detail, test.detail) || strings.Contains(a.Detail, "@") {
				t.Errorf("attempt: %+v", a)
			}
			if w.jobs(t, "completed") != 1 || len(w.mail.Mails()) != 0 {
				t.Errorf("%d jobs completed, %d mails", w.jobs(t, "completed"), len(w.mail.Mails()))
			}
		})
	}
}

// TestTriesAgain checks each error of one mail that is retried.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault     smtptest.Fault
		outcomes  string
		code      int
		duplicate bool
		mails     int
	}{
		"4xx to MAIL":          {smtptest.Fault{At: smtptest.AtMail, Code: 451}, "deferred,deferred,accepted", 451, false, 1},
		"4xx to RCPT":          {smtptest.Fault{At: smtptest.AtRcpt, Code: 450}, "deferred,deferred,accepted", 450, false, 1},
		"4xx to DATA":          {smtptest.Fault{At: smtptest.AtData, Code: 452}, "deferred,deferred,accepted", 452, false, 1},
		"dropped at RCPT":      {smtptest.Fault{At: smtptest.AtRcpt}, "deferred,deferred,accepted", 0, false, 1},
		"in doubt, not taken":  {smtptest.Fault{At: smtptest.AtData}, "unknown,unknown,accepted", 0, true, 1},
		"in doubt, taken":      {smtptest.Fault{At: smtptest.AtReply}, "unknown,unknown,accepted", 0, true, 3},
		"dropped after taking": {smtptest.Fault{At: smtptest.AtEnd}, "accepted", 250, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, smtptest.Config{})
			test.fault.Times = 2
			w.mail.Fail(test.fault)
			stop := w.work(t, quick)
			id := w.create(t)
			n := w.await(t, id, final)
			if n.Status != herald.Sent || n.PossibleDuplicate != test.duplicate || outcomes(n) != test.outcomes {
				t.Fatalf("got %+v", n)
			}
			if a := n.Attempts[0]; a.SMTPCode != test.code || len(n.Attempts) > 1 && a.Detail == "" {
				t.Errorf("attempt: %+v", a)
			}
			stop()
			w.wantMails(t, id, test.mails)
		})
	}
}

// TestMailServerFaults checks each fault that concerns all mail. The fault pauses sending and does
// not count as an attempt. The first mail that succeeds resumes sending for all.
func TestMailServerFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]smtptest.Fault{
		"dropped at once":  {At: smtptest.AtConnect},
		"greeted with 421": {At: smtptest.AtConnect, Code: 421},
		"greeted with 554": {At: smtptest.AtConnect, Code: 554},
		"wants a login":    {At: smtptest.AtMail, Code: 530},
		"refuses us":       {At: smtptest.AtMail, Code: 550},
		"refuses sender":   {At: smtptest.AtMail, Code: 553},
		"closes at RCPT":   {At: smtptest.AtRcpt, Code: 421},
		"closes at DATA":   {At: smtptest.AtData, Code: 421},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, smtptest.Config{})
			w.mail.Fail(fault)
			w.work(t, quick)
			var ids []uuid.UUID
			for range 30 {
				ids = append(ids, w.create(t))
			}
			w.awaitLog(t, "next_probe_in=80ms")
			for _, id := range ids {
				if n := w.await(t, id, always); n.Status.Final() || n.PossibleDuplicate || outcomes(n) != "" ||
					n.NextAttemptAt != nil {
					t.Fatalf("during the fault: %+v", n)
				}
			}
			if sent := strings.Count(w.log.String(), "sending is paused"); sent != 1 {
				t.Errorf("logged %d times that sending is paused", sent)
			}
			w.mail.Recover()
			for _, id := range ids {
				if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
					t.Errorf("after the fault: %+v", n)
				}
				w.wantMails(t, id, 1)
			}
		})
	}
}

// TestStopWhileSendingIsPaused checks that the pause does not delay the stop and that the job is
// handed back.
func TestStopWhileSendingIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.mail.Fail(smtptest.Fault{At: smtptest.AtConnect})
	stop := w.work(t, delivery.Config{})
	id := w.create(t)
	w.awaitLog(t, "sending is paused")
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if n := w.await(t, id, always); n.Status != herald.Queued || n.PossibleDuplicate || len(n.Attempts) != 0 {
		t.Errorf("handed back: %+v", n)
	}
	w.mail.Recover()
	w.work(t, quick)
	if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("at the next start: %+v", n)
	}
}

// TestSlowDomain checks that a slow mail server of one domain does not delay mail to other domains.
func TestSlowDomain(t *testing.T) {
	t.Parallel()
	const slowUser = `{"uri":"https://census.service/user/42/","name":"Slow User",` +
		`"email":"user@slow.example","locale":"en"}`
	g := newGate(t)
	w := newWorld(t, smtptest.Config{OnMail: func(m smtptest.Mail) {
		if strings.HasSuffix(m.To[0], "@slow.example") {
			g.pass()
		}
	}})
	w.answers(http.StatusOK, slowUser)
	config := quick
	config.Workers, config.Backlog = 60, delivery.NewBacklog(func(time.Duration) bool { return false }, delivery.CPUWait())
	w.work(t, config)
	var slow []uuid.UUID
	for range 100 {
		slow = append(slow, w.create(t))
	}
	g.await(t)
	w.awaitCensus(t, 60)
	w.answers(http.StatusOK, user42)
	begun := time.Now()
	for range 10 {
		if n := w.await(t, w.create(t), final); n.Status != herald.Sent {
			t.Errorf("of another domain: %+v", n)
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("mail for another domain took %v", took)
	}
	g.release()
	for _, id := range slow {
		if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
			t.Errorf("of the slow domain: %+v", n)
		}
	}
	if done := config.Backlog.Done(); done > 110 {
		t.Errorf("%d of 110 jobs are done: those that were handed back count, too", done)
	}
}

func TestCensusDownAndBack(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, smtptest.Config{})
			w.answers(status, "")
			w.work(t, quick)
			id := w.create(t)
			n := w.await(t, id, attempted)
			if a := n.Attempts[0]; n.Status.Final() || a.Outcome != herald.Deferred || !strings.Contains(a.Detail, "Census") {
				t.Errorf("while it is down: %+v", n)
			}
			w.answers(http.StatusOK, user42)
			if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate {
				t.Errorf("when it is back: %+v", n)
			}
		})
	}
}

// TestPlansTheNextAttempt uses the default schedule.
func TestPlansTheNextAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.answers(http.StatusServiceUnavailable, "")
	w.work(t, delivery.Config{})
	n := w.await(t, w.create(t), attempted)
	if n.Status != herald.Queued || n.NextAttemptAt == nil {
		t.Fatalf("got %+v", n)
	}
	if pause := n.NextAttemptAt.Sub(*n.Attempts[0].FinishedAt); pause < 9*time.Second || pause > 13*time.Second {
		t.Errorf("the next attempt is planned after %v", pause)
	}
}

func TestGivesUpWithTheLastReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.mail.Fail(smtptest.Fault{At: smtptest.AtData, Code: 451, Times: 1})
	w.mail.Fail(smtptest.Fault{At: smtptest.AtData, Code: 452})
	config := quick
	config.Retry = delivery.Schedule{First: 100 * time.Millisecond, Max: 100 * time.Millisecond, GiveUp: 3 * time.Second}
	w.work(t, config)
	n := w.await(t, w.create(t), final)
	last := n.Attempts[len(n.Attempts)-1]
	if n.Status != herald.Failed || len(n.Attempts) < 2 || last.SMTPCode != 452 || last.Outcome != herald.Deferred ||
		last.Detail == "" {
		t.Errorf("got %+v", n)
	}
	if w.jobs(t, "completed") != 1 {
		t.Error("the job is not completed")
	}
}

// TestJobWithoutNotification deletes a notification by hand and checks that its job is cancelled.
func TestJobWithoutNotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.create(t)
	if _, err := w.pool.Exec(t.Context(), `delete from notifications`); err != nil {
		t.Fatal(err)
	}
	w.work(t, quick)
	w.await(t, w.create(t), final)
	deadline := time.Now().Add(within)
	for w.jobs(t, "cancelled") != 1 {
		if time.Now().After(deadline) {
			t.Fatal("the job is not cancelled")
		}
	}
}
