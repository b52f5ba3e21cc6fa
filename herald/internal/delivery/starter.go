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

// retryInterval is the pause between two tries to start.
const retryInterval = time.Second

// A starter calls a function until it succeeds. It is safe for concurrent use.
type starter struct {
	begin func(context.Context) error
	log   *outage.Log
	now   chan struct{} // holds a value when the next try is to start at once

	mu    sync.Mutex
	err   error         // the error of the last try; nil after success
	tried chan struct{} // closed when the next try ends
}

func newStarter(begin func(context.Context) error, log *slog.Logger) *starter {
	return &starter{
		begin: begin, log: outage.NewLog(log, "deliveries"), now: make(chan struct{}, 1),
		err: errors.New("deliveries have not started yet"), tried: make(chan struct{}),
	}
}

// run calls begin until it succeeds and returns true. It returns false when ctx ends first.
func (s *starter) run(ctx context.Context) bool {
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

func (s *starter) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.tried)
	s.tried = make(chan struct{})
}

func (s *starter) state() (tried <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried, s.err
}

// ready returns nil after begin has succeeded. Before, it triggers a try and returns the error of
// that try. When ctx ends first, it returns the error of the last try.
func (s *starter) ready(ctx context.Context) error {
	tried, err := s.state()
	for range 2 { // the first try may have started before this call
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
