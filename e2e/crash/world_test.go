package crash_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/pgtest"
)

const (
	notifications = stack.HeraldURL + "notification/"
	welcome       = `{"user":"https://census.service/user/42/","type":"welcome-message"}`
	retryPost     = 100 * time.Millisecond
	// settleWithin is the time limit until all notifications are sent or failed. A retry comes
	// after about 10 s, and the pause doubles after each further failure.
	settleWithin = 150 * time.Second
	// keyWithin is how long a key may be in use after its request has ended without a response.
	keyWithin = 20 * time.Second
)

// A world is one database with one or two Heralds.
type world struct {
	name        string
	databaseURL string
	census      [2]*pgtest.Proxy // the proxies to Census, one for each Herald
	a, b        *herald          // b is nil without a second Herald

	posts    sync.WaitGroup
	mu       sync.Mutex
	requests []*request
	counted  map[string]bool // whether a notification is a possible duplicate, by ID
	keys     atomic.Int64
}

// A request is a POST, repeated with the same Idempotency-Key until it is accepted.
type request struct {
	URI      string
	answers  map[int]int   // the number of responses by status; 0 means no response
	conflict time.Duration // how long the key was in use
	err      error
	state    notification
}

// A notification is Herald's JSON, reduced to the members that the tests read.
type notification struct {
	URI, Status       string
	PossibleDuplicate bool `json:"possible_duplicate"`
	Attempts          []struct {
		Number          int
		Outcome, Detail string
		SMTPCode        int `json:"smtp_code"`
	}
}

// post sends a request to a Herald in the background.
func (w *world) post(ctx context.Context, h *herald) {
	w.posts.Go(func() { w.request(ctx, h) })
}

// postTo sends a request whose notification reaches a point.
func (w *world) postTo(ctx context.Context, h *herald, at Point) {
	if at == AfterFetch {
		h.queueNext()
	}
	w.post(ctx, h)
}

// request repeats a request until it is accepted.
func (w *world) request(ctx context.Context, h *herald) {
	r := &request{answers: map[int]int{}}
	key := fmt.Sprintf("%s-%d", w.name, w.keys.Add(1))
	w.mu.Lock()
	w.requests = append(w.requests, r)
	w.mu.Unlock()
	r.err = r.run(ctx, h.caller, key)
}

func (r *request) run(ctx context.Context, caller *stack.Caller, key string) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var conflictSince time.Time
	for {
		res, err := send(ctx, caller, key)
		status := 0
		if err == nil {
			status = res.Status
		}
		r.answers[status]++
		switch {
		case status == http.StatusCreated:
			var n notification
			if err := res.JSON(&n); err != nil {
				return err
			}
			r.URI = n.URI
			return nil
		case status == http.StatusConflict && conflictSince.IsZero():
			conflictSince = time.Now()
		case status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests:
			return fmt.Errorf("status %d: %s", status, res.Body)
		}
		if !conflictSince.IsZero() {
			r.conflict = time.Since(conflictSince)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not accepted within %v: answers by status: %v", settleWithin, r.answers)
		case <-time.After(retryPost):
		}
	}
}

func send(ctx context.Context, caller *stack.Caller, key string) (*stack.Response, error) {
	req, err := caller.Request(ctx, http.MethodPost, notifications, welcome, stack.Reader.Subject())
	if err != nil {
		return nil, err
	}
	req.Header.Set("Idempotency-Key", key)
	return caller.Send(req)
}

// settle waits until each request is accepted and its notification is sent or failed.
func (w *world) settle(ctx context.Context) error {
	w.posts.Wait()
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for _, r := range w.requests {
		if r.err != nil {
			return r.err
		}
		for {
			err := w.get(ctx, r)
			if err == nil && (r.state.Status == "sent" || r.state.Status == "failed") {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("neither sent nor failed within %v: %+v: %w", settleWithin, r.state, errors.Join(err, ctx.Err()))
			case <-time.After(retryPost):
			}
		}
	}
	return nil
}

// get fetches the state of a request's notification from any Herald.
func (w *world) get(ctx context.Context, r *request) error {
	err := errors.New("no Herald runs")
	for _, h := range []*herald{w.b, w.a} {
		if h == nil {
			continue
		}
		var res *stack.Response
		res, err = h.caller.Call(ctx, http.MethodGet, r.URI, "", stack.Reader.Subject())
		if err == nil && res.Status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", res.Status, res.Body)
		}
		if err == nil {
			return res.JSON(&r.state)
		}
	}
	return err
}

// A tally counts the results of a number of notifications.
type tally struct {
	Notifications, Failed, Doubled, Marked int
	Attempts                               int           // the sum over all notifications
	Lost, Silent, Extra                    int           // violations of Herald's promise
	Errors                                 int           // responses 500
	KeyInUse                               time.Duration // the longest time
	faults                                 []string
}

var messageID = regexp.MustCompile(`(?mi)^Message-ID: <([0-9a-f-]{36})@`)

// count waits until all notifications are sent or failed, and compares the mails with the
// notifications. It then resets the world.
func (w *world) count(ctx context.Context) (t tally) {
	if err := w.settle(ctx); err != nil {
		t.fault("lost: %v", err)
		t.Lost++
	}
	mails := map[string]int{}
	for _, h := range []*herald{w.a, w.b} {
		if h == nil {
			continue
		}
		for _, m := range h.mail.Mails() {
			if id := messageID.FindSubmatch(m.Data); id != nil {
				mails[string(id[1])]++
			}
		}
	}
	for _, r := range w.requests {
		id := path.Base(r.URI)
		t.add(r, mails[id])
		delete(mails, id)
		w.counted[id] = r.state.PossibleDuplicate
	}
	w.requests = nil
	for id, n := range mails {
		marked, known := w.counted[id]
		if !known {
			t.Extra++
			t.fault("a mail of %s, which is not an accepted notification", id)
		} else if n > 1 && !marked {
			t.Silent++
			t.fault("%d mails of %s, some of them after it was counted", n, id)
		}
	}
	return t
}

func (t *tally) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Sprintf(format, args...))
}

// add adds a request with the number of its mails.
func (t *tally) add(r *request, mails int) {
	t.Notifications++
	t.Errors += r.answers[http.StatusInternalServerError]
	if t.KeyInUse = max(t.KeyInUse, r.conflict); r.conflict > keyWithin {
		t.fault("a key was in use for %v", r.conflict)
	}
	n := r.state
	t.Attempts += len(n.Attempts)
	if n.PossibleDuplicate {
		t.Marked++
	}
	switch {
	case n.Status == "failed" && len(n.Attempts) > 0 && n.Attempts[len(n.Attempts)-1].Detail != "":
		t.Failed++
	case n.Status == "sent" && mails == 0:
		t.Lost++
		t.fault("no mail of %+v", n)
	case n.Status == "failed":
		t.fault("failed without a reason: %+v", n)
		t.Lost++
	}
	if mails > 1 {
		t.Doubled++
		if !n.PossibleDuplicate {
			t.Silent++
			t.fault("%d mails of %+v", mails, n)
		}
	}
}

// plus returns the sum of two tallies.
func (t tally) plus(o tally) tally {
	return tally{
		Notifications: t.Notifications + o.Notifications, Failed: t.Failed + o.Failed, Doubled: t.Doubled + o.Doubled,
		Marked: t.Marked + o.Marked, Lost: t.Lost + o.Lost, Silent: t.Silent + o.Silent, Extra: t.Extra + o.Extra,
		Errors: t.Errors + o.Errors, Attempts: t.Attempts + o.Attempts, KeyInUse: max(t.KeyInUse, o.KeyInUse),
		faults: append(t.faults, o.faults...),
	}
}
