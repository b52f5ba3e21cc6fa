package proc

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestTreeCPU(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	// The shell's child uses CPU time and ends. The shell goes on.
	cmd := exec.CommandContext(t.Context(), "sh", "-c",
		`sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; echo; exec sleep 60`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	used, err := TreeCPU(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if used < 50*time.Millisecond || used > 30*time.Second {
		t.Errorf("used %v", used)
	}
	if all, err := TreeCPU(os.Getpid()); err != nil || all < used {
		t.Errorf("the parent's tree used %v, %v", all, err)
	}
}
