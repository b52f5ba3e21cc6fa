package readme_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/e2e/stack"
)

// The README shows the map of the trust files that the demo and compose use, as the command draws
// it.
func TestTrustMap(t *testing.T) {
	t.Parallel()
	binDir, err := stack.BuiltPrograms(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := stack.Prepare(t.Context(), binDir, dir); err != nil {
		t.Fatal(err)
	}
	args := []string{"trust", "map", "--format", "mermaid"}
	for _, service := range stack.Services() {
		args = append(args, service.URL+"="+filepath.Join(dir, service.Name, "trust.yaml"))
	}
	flowchart, err := exec.CommandContext(t.Context(), filepath.Join(binDir, "svcauth"), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if block := "```mermaid\n" + string(flowchart) + "```\n"; !strings.Contains(read(t, "README.md"), block) {
		t.Errorf("README.md should have this block:\n%s", block)
	}
}
