package stack

import "syscall"

// tieToParent has the kernel end the child when we die without stopping it.
func tieToParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
