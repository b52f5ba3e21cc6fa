package trust

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// watchInterval is the time between two looks at the trust file and its key files.
	watchInterval = 2 * time.Second
	// watchSettles is how long the files must be unchanged before they are used.
	watchSettles = 100 * time.Millisecond
)

// A Watcher reads a trust file again when the file, or a key file that it names, has changed. It is
// safe for concurrent use.
type Watcher struct {
	file   string
	log    *slog.Logger
	policy atomic.Pointer[Policy]
	fault  atomic.Pointer[string] // nil while the file on disk is the one in force
}

// Watch reads a trust file and returns a watcher of it. It watches as long as [Watcher.Run] runs.
func Watch(file string, log *slog.Logger) (*Watcher, error) {
	policy, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	w := &Watcher{file: file, log: log}
	w.policy.Store(policy)
	return w, nil
}

// Policy returns the policy of the last good trust file.
func (w *Watcher) Policy() *Policy { return w.policy.Load() }

// Fault says what is wrong with the trust file on disk; empty if its policy is in force.
func (w *Watcher) Fault() string {
	if fault := w.fault.Load(); fault != nil {
		return *fault
	}
	return ""
}

// Run looks at the files every two seconds until ctx ends, and calls apply with the new policy once
// their content has been stable for 100 ms. While the trust file is bad, the policy before it stays
// in force. Run compares contents, not times, which detects every way to replace a file.
func (w *Watcher) Run(ctx context.Context, apply func(*Policy)) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.reload(ctx, apply)
		}
	}
}

// reload applies the trust file if it has changed and is good.
func (w *Watcher) reload(ctx context.Context, apply func(*Policy)) {
	policy, err := ReadFile(w.file)
	fault := w.fault.Load()
	switch {
	case err != nil && (fault == nil || err.Error() != *fault):
		text := err.Error()
		w.fault.Store(&text)
		w.log.Error("trust file is bad, the one before stays in force", "error", err)
	case err == nil && (fault != nil || policy.digest != w.Policy().digest) && w.settled(ctx, policy):
		w.fault.Store(nil)
		w.policy.Store(policy)
		apply(policy)
		w.log.Info("trust file is in force", "file", w.file, "issuers", len(policy.entries))
	}
}

// settled reports whether the files are unchanged a moment later. Files that are half written are
// not, and neither is a trust file that is replaced together with its key files.
func (w *Watcher) settled(ctx context.Context, policy *Policy) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(watchSettles):
	}
	again, err := ReadFile(w.file)
	return err == nil && again.digest == policy.digest
}
