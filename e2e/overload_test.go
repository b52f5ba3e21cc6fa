package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	floodTime  = 3 * time.Second
	floodConns = 320
	// slack is by how much the machine that runs the tests may be slower than what is promised, as
	// others use it too.
	slack = 10
	// refusedWithin and recoveredWithin are promised.
	refusedWithin   = 100 * time.Millisecond
	recoveredWithin = 2 * time.Second
)

// A flood is what many connections of one caller have been answered.
type flood struct {
	mu       sync.Mutex
	accepted []notification
	refusals []time.Duration
}

// Herald gets far more POSTs than it can bear from one caller. It refuses the excess at once and
// answers nothing else than 201 and 503; another caller keeps its share; the keys can be fetched
// all the time; afterwards all is as before, and every notification that was accepted is sent.
func TestOverload(t *testing.T) {
	another, shop, _ := callers(t)
	flooder, err := shop.WithConnections(floodConns)
	if err != nil {
		t.Fatal(err)
	}
	var opened sync.WaitGroup
	for range floodConns {
		opened.Go(func() {
			if err := fetchKeys(t.Context(), flooder); err != nil {
				t.Error(err)
			}
		})
	}
	opened.Wait()
	var f flood
	ctx, stop := context.WithTimeout(t.Context(), floodTime)
	defer stop()
	var wait sync.WaitGroup
	for range floodConns {
		wait.Go(func() { repeatedly(ctx, t, func() error { return f.post(ctx, flooder) }) })
	}
	var polite flood
	wait.Go(func() { repeatedly(ctx, t, func() error { return polite.post(ctx, another) }) })
	wait.Go(func() { repeatedly(ctx, t, func() error { return fetchKeys(ctx, another) }) })
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	recovery := awaitRecovery(t, another)
	slices.Sort(f.refusals)
	if len(f.refusals) == 0 {
		t.Fatalf("%d POSTs accepted, none refused", len(f.accepted))
	}
	p50, p99 := f.refusals[len(f.refusals)/2], f.refusals[len(f.refusals)*99/100]
	t.Logf("%d accepted, %d refused in %v at p50, %v at p99; the other caller: %d accepted, %d refused; recovery in %v",
		len(f.accepted), len(f.refusals), p50, p99, len(polite.accepted), len(polite.refusals), recovery)
	if p50 > refusedWithin || p99 > slack*refusedWithin {
		t.Errorf("refusals took %v at p50, %v at p99", p50, p99)
	}
	if len(polite.accepted) < len(polite.refusals) {
		t.Errorf("the other caller had %d POSTs accepted, %d refused", len(polite.accepted), len(polite.refusals))
	}
	awaitAllSent(t, shop, append(f.accepted, polite.accepted...))
	log, err := sys.log(t.Context(), "herald")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(log, "requests are refused"); lines == 0 || lines > 5 {
		t.Errorf("%d log lines about refused requests", lines)
	}
}

// repeatedly calls f until ctx ends.
func repeatedly(ctx context.Context, t *testing.T, f func() error) {
	for ctx.Err() == nil {
		if err := f(); err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
	}
}

// post sends a POST until it is accepted, and notes the answers. After a refusal it waits for a
// moment, and sends the same token again.
func (f *flood) post(ctx context.Context, caller *stack.Caller) error {
	r, err := caller.Request(ctx, http.MethodPost, notifications, welcome, stack.Reader.Subject())
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		refused, err := f.send(ctx, caller, r)
		if err != nil || !refused {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// send sends a copy of a POST and notes the answer.
func (f *flood) send(ctx context.Context, caller *stack.Caller, r *http.Request) (refused bool, err error) {
	// The context ends the waiting, not the call, whose answer may say that it was accepted.
	again := copyOf(context.WithoutCancel(ctx), r)
	begin := time.Now()
	res, err := caller.Send(again)
	if err != nil {
		return false, err
	}
	took := time.Since(begin)
	if res.Status != http.StatusServiceUnavailable {
		n, err := accepted(res)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.accepted = append(f.accepted, n)
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusals = append(f.refusals, took)
	return true, checkOverloaded(res)
}

// checkOverloaded checks a 503.
func checkOverloaded(res *stack.Response) error {
	var problem struct{ Type string }
	if err := res.JSON(&problem); err != nil {
		return err
	}
	if problem.Type != "urn:svcauth:problem:overloaded" || res.Header.Get("Retry-After") == "" ||
		res.Header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("503 with headers %v: %s", res.Header, res.Body)
	}
	return nil
}

func fetchKeys(ctx context.Context, caller *stack.Caller) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.HeraldURL+keys.JWKSPath, http.NoBody)
	if err != nil {
		return err
	}
	res, err := caller.Send(r)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK {
		return fmt.Errorf("GET %s: status %d", keys.JWKSPath, res.Status)
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
	return nil
}

// awaitRecovery waits until a notification is accepted and sent promptly, and returns how long that
// took to begin.
func awaitRecovery(t *testing.T, caller *stack.Caller) time.Duration {
	t.Helper()
	end := time.Now()
	for {
		begin := time.Now()
		if n, err := accepted(call(t, caller, http.MethodPost, notifications, welcome, stack.Reader)); err == nil {
			awaitSent(t, n, recoverWithin)
			if time.Since(begin) < time.Second {
				return begin.Sub(end)
			}
		}
		if time.Since(end) > slack/2*recoveredWithin {
			t.Fatalf("no recovery within %v", time.Since(end))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// awaitAllSent waits until all notifications are sent.
func awaitAllSent(t *testing.T, caller *stack.Caller, all []notification) {
	t.Helper()
	todo := make(chan notification, len(all))
	for _, n := range all {
		todo <- n
	}
	close(todo)
	deadline := time.Now().Add(recoverWithin)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for n := range todo {
				if err := awaitSentBy(t.Context(), caller, n, deadline); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func awaitSentBy(ctx context.Context, caller *stack.Caller, n notification, deadline time.Time) error {
	for {
		res, err := caller.Call(ctx, http.MethodGet, n.URI, "", stack.Reader.Subject())
		if err != nil {
			return err
		}
		var now notification
		if err := errors.Join(checkOK(res), res.JSON(&now)); err != nil {
			return err
		}
		if now.Status == "sent" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("accepted, and not sent: %+v", now)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func checkOK(res *stack.Response) error {
	if res.Status != http.StatusOK {
		return fmt.Errorf("status %d: %s", res.Status, res.Body)
	}
	return nil
}
