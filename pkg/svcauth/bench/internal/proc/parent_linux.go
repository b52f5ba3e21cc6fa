package proc

import (
	"os/exec"
	"syscall"
)

// tieToParent makes the kernel stop the child when this process dies without stopping it. A process group of its own
// keeps Ctrl-C in the terminal from the child, which is stopped in order.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
