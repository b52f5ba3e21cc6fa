//go:build !linux

package stack

import "syscall"

// tieToParent does nothing: only Linux can signal a child when its parent dies.
func tieToParent(*syscall.SysProcAttr) {}
