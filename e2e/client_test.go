package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

const (
	notifications = stack.HeraldURL + "notification/"
	welcome       = `{"user":"https://census.service/user/42/","type":"welcome-message"}`
)

// A notification is Herald's JSON, reduced to the members that the tests read.
type notification struct {
	URI, User, Type, Status string
	PossibleDuplicate       bool `json:"possible_duplicate"`
	Attempts                []struct {
		Number   int
		Outcome  string
		SMTPCode int `json:"smtp_code"`
	}
}

// messageID returns the Message-ID of the notification's mail.
func (n notification) messageID() string { return path.Base(n.URI) + "@herald.service" }

// callers returns the callers that the trust files name.
func callers(t *testing.T) (another, shop, office *stack.Caller) {
	t.Helper()
	another, shop, office, err := sys.callers("")
	if err != nil {
		t.Fatal(err)
	}
	return another, shop, office
}

// call sends a signed request on behalf of a user.
func call(t *testing.T, c *stack.Caller, method, url, body string, as stack.User) *stack.Response {
	t.Helper()
	res, err := c.Call(t.Context(), method, url, body, as.Subject())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// accepted returns the notification of a 201 response. Another response is an error.
func accepted(res *stack.Response) (n notification, err error) {
	if res.Status != http.StatusCreated {
		return n, fmt.Errorf("status %d, not 201: %s", res.Status, res.Body)
	}
	if err := res.JSON(&n); err != nil {
		return n, err
	}
	if location := res.Header.Get("Location"); location != n.URI {
		return n, fmt.Errorf("Location %q is not the notification's URI %q", location, n.URI)
	}
	return n, nil
}

// post creates a notification for user 42 on behalf of user 21.
func post(t *testing.T, c *stack.Caller) notification {
	t.Helper()
	n, err := accepted(call(t, c, http.MethodPost, notifications, welcome, stack.Reader))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// status fetches the current state of a notification.
func status(t *testing.T, n notification) notification {
	t.Helper()
	_, shop, _ := callers(t)
	res := call(t, shop, http.MethodGet, n.URI, "", stack.Reader)
	if res.Status != http.StatusOK {
		t.Fatalf("GET %s: status %d: %s", n.URI, res.Status, res.Body)
	}
	var now notification
	if err := res.JSON(&now); err != nil {
		t.Fatal(err)
	}
	return now
}

// await polls until ask returns true. The test fails when that takes longer than within.
func await(t *testing.T, what string, within time.Duration, ask func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ask() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, within)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// awaitSent waits until a notification is sent, and returns its mails.
func awaitSent(t *testing.T, n notification, within time.Duration) []string {
	t.Helper()
	await(t, "status sent of "+n.URI, within, func() bool { return status(t, n).Status == "sent" })
	mails, err := sys.mails(t.Context(), n.messageID())
	if err != nil {
		t.Fatal(err)
	}
	return mails
}

// awaitOneMail waits until a notification is sent and returns its mail, of which there must be
// exactly one.
func awaitOneMail(t *testing.T, n notification, within time.Duration) string {
	t.Helper()
	mails := awaitSent(t, n, within)
	if len(mails) != 1 {
		t.Fatalf("%d mails of %s, not 1", len(mails), n.URI)
	}
	return mails[0]
}

// restore starts a service again when the test ends.
func restore(t *testing.T, service string) {
	t.Helper()
	t.Cleanup(func() {
		if err := sys.start(context.Background(), service); err != nil {
			t.Errorf("starting %s again: %v", service, err)
		}
	})
}
