package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

// TestRotation rotates Herald's key under load. Every notification is accepted, and sent at the
// first attempt, as Census refuses no call of Herald. At the end the first key is deleted, and the
// next one signs.
func TestRotation(t *testing.T) {
	another, _, _ := callers(t)
	refusedBefore := len(refusedHeralds(t))
	before := published(t, another)
	if len(before) != 1 {
		t.Fatalf("Herald publishes %v at the start", before)
	}
	ctx, endLoad := context.WithCancel(t.Context())
	defer endLoad()
	var sent []notification
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			res, err := another.Call(t.Context(), http.MethodPost, notifications, welcome, stack.Reader.Subject())
			var n notification
			if err == nil {
				n, err = accepted(res)
			}
			if err != nil {
				t.Error(err)
				return
			}
			sent = append(sent, n)
			time.Sleep(50 * time.Millisecond)
		}
	})

	const ahead = 8 * time.Second // in production longer than the longest refresh interval of a receiver
	if err := sys.rotate(t.Context(), "herald", "--ahead", ahead.String()); err != nil {
		t.Fatal(err)
	}
	signs := time.Now().Add(ahead)
	await(t, "second key in Herald's key set", 5*time.Second, func() bool { return len(published(t, another)) == 2 })
	impostor := forceRefresh(t, another)
	time.Sleep(time.Until(signs) + 3*time.Second) // the new key signs now
	if err := sys.rotate(t.Context(), "herald", "--min-age", "1h", "--keep", "1s"); err != nil {
		t.Fatal(err)
	}
	await(t, "end of the first key", 5*time.Second, func() bool { return len(published(t, another)) == 1 })
	endLoad()
	load.Wait()
	if after := published(t, another); after[0] == before[0] {
		t.Errorf("Herald still publishes %v", after)
	}
	sent = append(sent, post(t, another))
	for _, line := range refusedHeralds(t)[refusedBefore:] {
		if !strings.Contains(line, impostor.KeyID()) {
			t.Errorf("Census refused Herald: %s", line)
		}
	}
	t.Logf("%d notifications", len(sent))
	for _, n := range sent {
		awaitOneMail(t, n, 15*time.Second)
		if got := status(t, n); len(got.Attempts) != 1 {
			t.Errorf("not sent at the first attempt: %+v", got)
		}
	}
}

// published returns the key IDs that Herald publishes.
func published(t *testing.T, caller *stack.Caller) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, stack.HeraldURL+".well-known/jwks.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := caller.Send(req)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct{ KID string }
	}
	if err := res.JSON(&set); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.KID)
	}
	return kids
}

// refusedHeralds returns the lines of Census's log about refused calls whose issuer is Herald.
func refusedHeralds(t *testing.T) (refused []string) {
	t.Helper()
	log, err := sys.log(t.Context(), "census")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"msg":"call refused"`) && strings.Contains(line, `"issuer":"`+stack.HeraldURL+`"`) {
			refused = append(refused, line)
		}
	}
	return refused
}

// forceRefresh makes Census fetch Herald's keys now, with a call in Herald's name that is signed
// with an unknown key. It returns the caller that signed it.
func forceRefresh(t *testing.T, caller *stack.Caller) (impostor *stack.Caller) {
	t.Helper()
	impostor, err := caller.UnknownIssuer(stack.HeraldURL)
	if err != nil {
		t.Fatal(err)
	}
	res := call(t, impostor, http.MethodGet, stack.Reader.URI(), "", stack.Reader)
	if res.Status != http.StatusUnauthorized {
		t.Fatalf("status %d for an impostor", res.Status)
	}
	return impostor
}
