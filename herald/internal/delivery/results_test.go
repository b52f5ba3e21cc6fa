package delivery_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/pkg/smtptest"
)

func TestSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	stop := w.work(t, quick)
	id := w.create(t)
	n := w.await(t, id, over)
	if n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" || n.Attempts[0].SMTPCode != 250 || n.NextAttemptAt != nil {
		t.Errorf("got %+v", n)
	}
	if got := w.mail.Mails()[0]; got.To[0] != address || !strings.Contains(string(got.Data), "Census User") {
		t.Errorf("mail to %q: %s", got.To, got.Data)
	}
	// The job is completed together with the notification, not some time later.
	if completed := w.jobs(t, "completed"); completed != 1 {
		t.Errorf("%d jobs are completed", completed)
	}
	stop()
	w.wantMails(t, id, 1)
}

// TestFailsForGood has each reason that no retry would help.
func TestFailsForGood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  smtptest.Fault
		status int
		body   string
		code   int
		detail string
	}{
		"RCPT":                 {fault: smtptest.Fault{At: smtptest.AtRcpt, Code: 550}, status: 200, body: user42, code: 550, detail: "recipient"},
		"MAIL":                 {fault: smtptest.Fault{At: smtptest.AtMail, Code: 553}, status: 200, body: user42, code: 553, detail: "sender"},
		"DATA":                 {fault: smtptest.Fault{At: smtptest.AtData, Code: 554}, status: 200, body: user42, code: 554, detail: "message"},
		"may not see the user": {status: 403, detail: "does not let"},
		"no such user":         {status: 404, detail: "no such user"},
		"CRLF in name":         {status: 200, body: strings.Replace(user42, "Census User", `Eve\r\nBcc: all@example.com`, 1), detail: "name or address"},
		"encoded word in name": {status: 200, body: strings.Replace(user42, "Census User", `=?utf-8?q?Eve=0D=0ABcc:_x?=`, 1), detail: "name or address"},
		"LF in address":        {status: 200, body: strings.Replace(user42, address, `eve@example.com\nBcc: all@example.com`, 1), detail: "name or address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, smtptest.Config{})
			w.answers(test.status, test.body)
			if test.fault.At != 0 {
				w.mail.Fail(test.fault)
			}
			w.work(t, quick)
			n := w.await(t, w.create(t), over)
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

// TestTriesAgain has each reason that a retry may help.
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
		"no login":             {smtptest.Fault{At: smtptest.AtMail, Code: 530}, "deferred,deferred,accepted", 530, false, 1},
		"greeted with 554":     {smtptest.Fault{At: smtptest.AtConnect, Code: 554}, "deferred,deferred,accepted", 554, false, 1},
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
			n := w.await(t, id, over)
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

func TestMailServerDownAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.mail.Fail(smtptest.Fault{At: smtptest.AtConnect})
	w.work(t, quick)
	id := w.create(t)
	n := w.await(t, id, attempted)
	if n.Status.Over() || n.PossibleDuplicate {
		t.Errorf("while it is down: %+v", n)
	}
	w.mail.Recover()
	if n := w.await(t, id, over); n.Status != herald.Sent || n.PossibleDuplicate {
		t.Errorf("when it is back: %+v", n)
	}
	w.wantMails(t, id, 1)
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
			if a := n.Attempts[0]; n.Status.Over() || a.Outcome != herald.Deferred || !strings.Contains(a.Detail, "Census") {
				t.Errorf("while it is down: %+v", n)
			}
			w.answers(http.StatusOK, user42)
			if n := w.await(t, id, over); n.Status != herald.Sent || n.PossibleDuplicate {
				t.Errorf("when it is back: %+v", n)
			}
		})
	}
}

// TestPlansTheNextAttempt runs on the schedule of production.
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
	n := w.await(t, w.create(t), over)
	last := n.Attempts[len(n.Attempts)-1]
	if n.Status != herald.Failed || len(n.Attempts) < 2 || last.SMTPCode != 452 || last.Outcome != herald.Deferred || last.Detail == "" {
		t.Errorf("got %+v", n)
	}
	if w.jobs(t, "completed") != 1 {
		t.Error("the job is not completed")
	}
}

// TestJobWithoutNotification has a notification deleted by hand.
func TestJobWithoutNotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.create(t)
	if _, err := w.pool.Exec(t.Context(), `delete from notifications`); err != nil {
		t.Fatal(err)
	}
	w.work(t, quick)
	w.await(t, w.create(t), over)
	deadline := time.Now().Add(within)
	for w.jobs(t, "cancelled") != 1 {
		if time.Now().After(deadline) {
			t.Fatal("the job is not cancelled")
		}
	}
}
