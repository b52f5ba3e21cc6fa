package delivery_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/herald/internal/mail"
)

// TestBreakerHasOneProbeAtATime checks that results of mails that started before the breaker opened
// neither start a second probe nor lengthen the backoff.
func TestBreakerHasOneProbeAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := delivery.NewBreaker(slog.New(slog.DiscardHandler), time.Second, nil)
		waited := 0
		onWait := func() { waited++ }
		for range 3 {
			if probe, err := delivery.Acquire(b, t.Context(), onWait); probe != 0 || err != nil {
				t.Fatalf("closed: probe %d, %v", probe, err)
			}
		}
		if waited > 0 {
			t.Error("waited for a closed breaker")
		}
		delivery.Failed(b, 0, &mail.Error{Server: true})
		opened := time.Now()
		probe, err := delivery.Acquire(b, t.Context(), onWait)
		if probe == 0 || err != nil || time.Since(opened) > time.Second {
			t.Fatalf("probe %d, %v, after %v", probe, err, time.Since(opened))
		}
		if waited == 0 {
			t.Error("did not say that it waits")
		}
		delivery.Canceled(b, 0)
		delivery.Failed(b, 0, &mail.Error{Server: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if second, err := delivery.Acquire(b, ctx, onWait); err == nil {
			t.Errorf("probe %d during probe %d", second, probe)
		}
		delivery.Failed(b, probe, &mail.Error{Server: true})
		failed := time.Now()
		probe, err = delivery.Acquire(b, t.Context(), onWait)
		if pause := time.Since(failed); probe == 0 || err != nil || pause < time.Second || pause > 2*time.Second {
			t.Errorf("probe %d, %v, after %v", probe, err, pause)
		}
		delivery.Succeeded(b)
		if probe, err := delivery.Acquire(b, t.Context(), onWait); probe != 0 || err != nil {
			t.Errorf("closed again: probe %d, %v", probe, err)
		}
	})
}
