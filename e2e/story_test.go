package e2e_test

import (
	"bytes"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

func TestStory(t *testing.T) {
	another, shop, _ := callers(t)
	for name, caller := range map[string]*stack.Caller{"article": another, "bound": shop} {
		t.Run(name, func(t *testing.T) {
			n := post(t, caller)
			if n.User != stack.CensusUser.URI() || n.Type != "welcome-message" {
				t.Errorf("201 with %+v", n)
			}
			raw := awaitOneMail(t, n, 10*time.Second)
			message, err := mail.ReadMessage(strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			to, err := mail.ParseAddress(message.Header.Get("To"))
			if err != nil || to.Address != stack.CensusUser.Email || to.Name != stack.CensusUser.Name {
				t.Errorf("To: %q", message.Header.Get("To"))
			}
			for _, part := range []string{"text/plain", "text/html"} {
				if !strings.Contains(raw, part) {
					t.Errorf("the mail has no part %s", part)
				}
			}
			if got := status(t, n); len(got.Attempts) != 1 || got.Attempts[0].SMTPCode != 250 || got.PossibleDuplicate {
				t.Errorf("after the mail: %+v", got)
			}
		})
	}
}

func TestUserMatchesTheArticle(t *testing.T) {
	_, shop, _ := callers(t)
	res := call(t, shop, http.MethodGet, stack.CensusUser.URI(), "", stack.Reader)
	var user struct{ URI, Name, Email string }
	if err := res.JSON(&user); err != nil {
		t.Fatal(err)
	}
	if res.Status != http.StatusOK || user.URI != "https://census.service/user/42/" ||
		user.Name != "Census User" || user.Email != "census.user@example.com" {
		t.Errorf("status %d: %s", res.Status, res.Body)
	}
}

// TestUsersCannotBeGuessed checks that an invisible user and one who does not exist get the same
// response, byte for byte.
func TestUsersCannotBeGuessed(t *testing.T) {
	_, shop, _ := callers(t)
	invisible := call(t, shop, http.MethodGet, stack.CensusUser.URI(), "", stack.Stranger)
	absent := call(t, shop, http.MethodGet, stack.CensusURL+"user/4242/", "", stack.Stranger)
	if invisible.Status != http.StatusForbidden || absent.Status != http.StatusForbidden {
		t.Errorf("status %d and %d", invisible.Status, absent.Status)
	}
	if !bytes.Equal(invisible.Body, absent.Body) {
		t.Errorf("answers differ:\n%s\n%s", invisible.Body, absent.Body)
	}
}

// TestGrantDecidesAtHerald checks that a viewer grant at Census takes effect at Herald at once, and
// that its removal does, too.
func TestGrantDecidesAtHerald(t *testing.T) {
	_, shop, office := callers(t)
	grant := stack.CensusUser.URI() + "viewer/63/"
	ask := func() int {
		return call(t, shop, http.MethodPost, notifications, welcome, stack.Stranger).Status
	}
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("before the grant: %d", got)
	}
	if res := call(t, office, http.MethodPut, grant, "", stack.CensusUser); res.Status != http.StatusNoContent {
		t.Fatalf("granting: %d %s", res.Status, res.Body)
	}
	if got := ask(); got != http.StatusCreated {
		t.Errorf("with the grant: %d", got)
	}
	if res := call(t, office, http.MethodDelete, grant, "", stack.CensusUser); res.Status != http.StatusNoContent {
		t.Fatalf("taking the grant back: %d %s", res.Status, res.Body)
	}
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("after the grant: %d", got)
	}
}

// TestInjectionStopsAtCensus checks that Census refuses names and addresses that would inject a
// mail header.
func TestInjectionStopsAtCensus(t *testing.T) {
	_, _, office := callers(t)
	for _, body := range []string{
		`{"name":"A\r\nBcc: victim@example.com"}`,
		`{"name":"A\nBcc: victim@example.com"}`,
		`{"email":"a@example.com\r\nBcc: victim@example.com"}`,
		`{"email":"a@example.com, victim@example.com"}`,
		`{"email":"=?utf-8?q?a=40example.com=0D=0ABcc:?= <victim@example.com>"}`,
	} {
		res := call(t, office, http.MethodPatch, stack.Stranger.URI(), body, stack.Stranger)
		if res.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d: %s", body, res.Status, res.Body)
		}
	}
}
