package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"example.com/micromachine/pkg/outage"
)

// retryInterval is how long to wait before trying again to begin.
const retryInterval = time.Second

// A start tries to begin the deliveries until it succeeds.
type start struct {
	begin func(context.Context) error
	log   *outage.Log
	now   chan struct{} // holds a value when a try should not wait any longer

	mu    sync.Mutex
	err   error         // of the last try; nil once the deliveries have begun
	tried chan struct{} // closed when the next try is over
}

func newStart(begin func(context.Context) error, log *slog.Logger) *start {
	return &start{
		begin: begin, log: outage.NewLog(log, "deliveries"), now: make(chan struct{}, 1),
		err: errors.New("deliveries have not begun yet"), tried: make(chan struct{}),
	}
}

// run returns true when the deliveries have begun, false when ctx has ended first.
func (s *start) run(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := s.begin(ctx)
		if err != nil && ctx.Err() != nil {
			break
		}
		if err != nil {
			err = fmt.Errorf("deliveries cannot begin: %w", err)
		}
		s.log.Observe(ctx, err)
		s.set(err)
		if err == nil {
			return true
		}
		select {
		case <-ctx.Done():
		case <-s.now:
		case <-time.After(retryInterval):
		}
	}
	return false
}

func (s *start) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.tried)
	s.tried = make(chan struct{})
}

func (s *start) state() (tried <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried, s.err
}

// done returns nil when the deliveries have begun. Until then it has another try made
// at once, and returns the error of that.
func (s *start) done(ctx context.Context) error {
	tried, err := s.state()
	for range 2 { // the first may have been under way before
		if err == nil {
			return nil
		}
		select {
		case s.now <- struct{}{}:
		default:
		}
		select {
		case <-tried:
			tried, err = s.state()
		case <-ctx.Done():
			return err
		}
	}
	return err
}
