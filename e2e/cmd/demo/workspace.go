package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A workspace is the directory in which one demo keeps its files. Several demos may run in one
// checkout. The first one uses the file env, each other one a file of its own.
type workspace struct {
	dir     string // for keys, logs and mails; absolute
	envFile string
	lock    *os.File
}

// claimWorkspace creates a workspace below base.
func claimWorkspace(base string) (*workspace, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, fmt.Errorf("creating the demo's directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(base, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the demo's directory: %w", err)
	}
	w := &workspace{envFile: filepath.Join(base, "env"), lock: lock}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil { // the first demo holds it
		w.envFile = filepath.Join(base, fmt.Sprintf("env-%d", os.Getpid()))
	}
	if w.dir, err = os.MkdirTemp(base, "run-"); err != nil {
		return nil, errors.Join(fmt.Errorf("creating the demo's directory: %w", err), lock.Close())
	}
	return w, nil
}

// release removes the workspace.
func (w *workspace) release() error {
	err := os.Remove(w.envFile)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(w.dir), w.lock.Close())
}
