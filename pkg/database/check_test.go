package database_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/database"
)

// Many pollers cause at most one check a second.
func TestCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, failure := 0, error(nil)
		check := database.NewCheck(func(context.Context) error {
			asked++
			time.Sleep(10 * time.Millisecond)
			return failure
		})
		poll := func(want error, times int) {
			t.Helper()
			before := asked
			var pollers sync.WaitGroup
			for range 50 {
				pollers.Go(func() {
					if err := check.Run(t.Context()); !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				})
			}
			pollers.Wait()
			if asked-before != times {
				t.Errorf("asked %d times, want %d", asked-before, times)
			}
		}
		poll(nil, 1)
		time.Sleep(900 * time.Millisecond)
		failure = errors.New("gone")
		poll(nil, 0)
		time.Sleep(200 * time.Millisecond)
		poll(failure, 1)
		poll(failure, 1)
		failure = nil
		poll(nil, 1)
	})
}

func TestCheckEndsWithContext(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	check := database.NewCheck(func(context.Context) error { close(entered); <-leave; return nil })
	var first sync.WaitGroup
	first.Go(func() { _ = check.Run(context.Background()) })
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := check.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(leave)
	first.Wait()
}
