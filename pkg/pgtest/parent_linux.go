package pgtest

import "syscall"

// tieToParent makes the kernel send SIGINT to the server, a fast shutdown, when its parent thread
// ends.
func tieToParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
