package pgtest

import "syscall"

// tieToParent has the server shut down when we die without stopping it.
func tieToParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
