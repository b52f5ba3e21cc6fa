//go:build !linux

package proc

import "os/exec"

// tieToParent does nothing where the kernel has no such signal.
func tieToParent(*exec.Cmd) {}
