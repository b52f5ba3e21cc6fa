//go:build !linux

package pgtest

import "syscall"

// tieToParent does nothing. Only Linux can signal a process when its parent ends.
func tieToParent(*syscall.SysProcAttr) {}
