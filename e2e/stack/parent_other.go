//go:build !linux

package stack

import "syscall"

// tieToParent does nothing where the kernel offers no such thing.
func tieToParent(*syscall.SysProcAttr) {}
