package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A place is where one demo keeps its files. Several demos may run in one checkout: the first has the file env, and
// each other one has a file of its own.
type place struct {
	dir     string // for keys, logs and mails; absolute
	envFile string
	lock    *os.File
}

// claimPlace makes a place below base.
func claimPlace(base string) (*place, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, fmt.Errorf("making a place for the demo: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(base, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a place for the demo: %w", err)
	}
	p := &place{envFile: filepath.Join(base, "env"), lock: lock}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil { // held by the first demo while it runs
		p.envFile = filepath.Join(base, fmt.Sprintf("env-%d", os.Getpid()))
	}
	if p.dir, err = os.MkdirTemp(base, "run-"); err != nil {
		return nil, errors.Join(fmt.Errorf("making a place for the demo: %w", err), lock.Close())
	}
	return p, nil
}

// release removes the place.
func (p *place) release() error {
	err := os.Remove(p.envFile)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(p.dir), p.lock.Close())
}
