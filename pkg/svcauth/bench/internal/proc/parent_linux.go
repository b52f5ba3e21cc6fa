package proc

import (
	"os/exec"
	"syscall"
)

// tieToParent makes the kernel send SIGTERM to the child when its parent thread ends. The child has
// a process group of its own, so that Ctrl-C in the terminal does not signal it before it is
// stopped in order.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
