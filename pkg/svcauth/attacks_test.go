package svcauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/micromachine/pkg/svcauth"
)

// An attack is a small change to a valid call, and the refusal that it must cause.
type attack struct {
	name   string
	source string // where the attack, or the rule that it breaks, is written down
	valid  kind   // makes the valid call
	change mutation
	check  svcauth.Check // the one check that must refuse it
	status int
}

// A group is attacks that one check refuses with one status.
type group struct {
	check   svcauth.Check
	status  int
	attacks []attack
}

// attacks returns the whole table, in the order of verification.
func attacks() []attack {
	var table []attack
	for _, g := range slices.Concat(formAttacks(), issuerAttacks(), claimAttacks(), callAttacks()) {
		for _, a := range g.attacks {
			a.check, a.status = g.check, g.status
			table = append(table, a)
		}
	}
	return table
}

// Over HTTP each attack is refused by the check that the table names, and the valid call that it
// was made from is accepted. So no attack is refused for another reason.
func TestAttacks(t *testing.T) {
	w := newWorld(t)
	table := attacks()
	for _, a := range table {
		t.Run(a.name, func(t *testing.T) {
			control := a.valid(t, w)
			control.sign()
			control.mustPass()

			c := a.valid(t, w)
			a.change(c)
			c.sign()
			before := w.reached.Load()
			w.log.Reset()
			got := c.send()
			if got.refusal == nil {
				t.Fatalf("status %d and not refused:\n%s", got.status, c.text())
			}
			if got.refusal.Check != a.check || got.status != a.status {
				t.Errorf("refused with %d, %v; want %d by check %s", got.status, got.refusal, a.status, a.check)
			}
			if w.reached.Load() != before {
				t.Error("the handler was reached")
			}
			checkAnswer(t, c, got)
		})
	}
	t.Logf("%d attacks", len(table))
}

// The table has at least 80 attacks. Each has a source and a name of its own, and each check
// refuses at least one.
func TestAttackTable(t *testing.T) {
	table := attacks()
	if len(table) < 80 {
		t.Errorf("%d attacks, fewer than 80", len(table))
	}
	seen := map[string]bool{}
	checked := map[svcauth.Check]bool{}
	for _, a := range table {
		if seen[a.name] {
			t.Errorf("two attacks named %q", a.name)
		}
		if a.source == "" {
			t.Errorf("%q has no source", a.name)
		}
		seen[a.name], checked[a.check] = true, true
	}
	for _, check := range []svcauth.Check{
		svcauth.CheckHeader, svcauth.CheckEncoding, svcauth.CheckJSON, svcauth.CheckIssuer, svcauth.CheckType,
		svcauth.CheckKey, svcauth.CheckSignature, svcauth.CheckAudience, svcauth.CheckTime, svcauth.CheckClaims,
		svcauth.CheckRequest, svcauth.CheckAllow, svcauth.CheckSubject, svcauth.CheckBody, svcauth.CheckReplay,
	} {
		if !checked[check] {
			t.Errorf("no attack is refused by check %s", check)
		}
	}
}

// refusals are the complete answers to refused calls, by status.
var refusals = map[int]struct{ problem, header, value string }{
	http.StatusUnauthorized: {
		`{"type":"urn:svcauth:problem:invalid-token","title":"Unauthorized","status":401,` +
			`"detail":"The request needs a valid token in its JWT header."}`,
		"WWW-Authenticate", `JWT realm="https://census.service/", error="invalid_token"`,
	},
	http.StatusForbidden: {
		`{"type":"urn:svcauth:problem:not-allowed","title":"Forbidden","status":403,` +
			`"detail":"The token is valid, but its issuer may not make this call for this subject."}`,
		"Cache-Control", "no-store",
	},
	http.StatusRequestEntityTooLarge: {
		`{"type":"urn:svcauth:problem:body-too-large","title":"Content Too Large","status":413,` +
			`"detail":"The request's body is larger than this resource accepts."}`,
		"Cache-Control", "no-store",
	},
	http.StatusServiceUnavailable: {
		`{"type":"urn:svcauth:problem:unavailable","title":"Service Unavailable","status":503,` +
			`"detail":"The token could not be checked just now. Try again shortly."}`,
		"Retry-After", "1",
	},
}

// checkAnswer checks that the answer tells only the class of the fault, and that the log names the
// check and does not have the token.
func checkAnswer(t *testing.T, c *call, got answer) {
	t.Helper()
	want := refusals[got.status]
	if got.body != want.problem && c.method != http.MethodHead {
		t.Errorf("body %s, want %s", got.body, want.problem)
	}
	if value := got.header.Get(want.header); value != want.value {
		t.Errorf("%s: %q, want %q", want.header, value, want.value)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("Content-Type %q", kind)
	}
	log := c.w.log.String()
	if !strings.Contains(log, `"check":"`+string(got.refusal.Check)+`"`) {
		t.Errorf("the log does not name the check: %s", log)
	}
	if _, signature, ok := strings.Cut(c.token, "."); ok && len(signature) > 20 && strings.Contains(log, signature) {
		t.Errorf("the log holds the token: %s", log)
	}
	if len(log) > 2500 {
		t.Errorf("a log line of %d bytes", len(log))
	}
}

// Of several faults the first in the order of verification decides. So the caller of a refused call
// learns nothing of later checks, and causes none of their work.
func TestOrderOfChecks(t *testing.T) {
	w := newWorld(t)
	faults := []struct {
		check  svcauth.Check
		change mutation
	}{
		{svcauth.CheckHeader, repeated("JWT: ")},
		{svcauth.CheckEncoding, token(suffixed("="))},
		{svcauth.CheckJSON, addHeader("crit", `["exp"]`)},
		{svcauth.CheckIssuer, stringClaim("iss", "https://evil.service/")},
		{svcauth.CheckType, header("typ", `"session+jwt"`)},
		{svcauth.CheckKey, header("kid", `"x"`)},
		{svcauth.CheckSignature, signedBy(shopEd)},
		{svcauth.CheckAudience, stringClaim("aud", shop)},
		{svcauth.CheckTime, timeClaim("exp", 301)},
		{svcauth.CheckClaims, noClaim("jti")},
		{svcauth.CheckRequest, stringClaim("htm", "DELETE")},
		{svcauth.CheckAllow, unboundTo("POST", "/admin/")},
		{svcauth.CheckSubject, stringClaim("sub", shop)},
		{svcauth.CheckBody, body("changed")},
		{svcauth.CheckReplay, storeDown},
	}
	for i, fault := range faults {
		t.Run(string(fault.check), func(t *testing.T) {
			c := boundWrite(t, w)
			if fault.check == svcauth.CheckAllow {
				to("POST", "/admin/")(c)
			}
			for _, f := range faults[i:] {
				f.change(c)
			}
			c.sign()
			if got := c.send(); got.refusal == nil || got.refusal.Check != fault.check {
				t.Errorf("status %d, %v", got.status, got.refusal)
			}
		})
	}
}

// A token with a line break is refused, also when it comes from a server that, unlike net/http's,
// accepts such a header.
func TestLineBreakInToken(t *testing.T) {
	w := newWorld(t)
	c := boundRead(t, w)
	c.sign()
	for _, end := range []string{"\n", "\r\n"} {
		req := httptest.NewRequest(c.method, c.target, http.NoBody)
		req.Header.Set(svcauth.Header, c.token+end)
		if status := statusOf(w.verifier, req); status != http.StatusUnauthorized {
			t.Errorf("status %d", status)
		}
		if refusal := <-w.refusals; refusal.Check != svcauth.CheckEncoding {
			t.Errorf("refused by check %s", refusal.Check)
		}
	}
}

// Of any number of concurrent requests with one token exactly one passes.
func TestConcurrentReplay(t *testing.T) {
	for _, valid := range []kind{boundWrite, articleWrite} {
		w := newWorld(t)
		const clients = 32
		c := valid(t, w)
		c.sign()
		statuses := make(chan int, clients)
		start := make(chan struct{})
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				<-start
				statuses <- c.send().status
			})
		}
		close(start)
		all.Wait()
		close(statuses)
		count := map[int]int{}
		for status := range statuses {
			count[status]++
		}
		if count[http.StatusOK] != 1 || count[http.StatusUnauthorized] != clients-1 {
			t.Errorf("statuses %v: want one 200 and %d 401", count, clients-1)
		}
	}
}

// A token that was refused because the replay store was down can be used once the store works
// again.
func TestReplayStoreRecovers(t *testing.T) {
	w := newWorld(t)
	c := boundWrite(t, w)
	c.sign()
	w.replay.fault = errors.New("no connection")
	if a := c.send(); a.status != http.StatusServiceUnavailable {
		t.Errorf("status %d while the store is down", a.status)
	}
	w.replay.fault = nil
	c.mustPass()
}
