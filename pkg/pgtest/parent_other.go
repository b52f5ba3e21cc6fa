//go:build !linux

package pgtest

import "syscall"

// tieToParent does nothing: only Linux can tell a process of its parent's death.
func tieToParent(*syscall.SysProcAttr) {}
