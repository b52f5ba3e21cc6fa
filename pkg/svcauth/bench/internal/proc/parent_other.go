//go:build !linux

package proc

import "os/exec"

// tieToParent does nothing. Only Linux can signal a process when its parent ends.
func tieToParent(*exec.Cmd) {}
