package stack

import "syscall"

// tieToParent makes the kernel send SIGTERM to the child when this process dies.
func tieToParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
