package readme_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/micromachine/e2e/stack"
)

var update = flag.Bool("update", false, "draw the map of trust in README.md again")

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
	block := "```mermaid\n" + string(flowchart) + "```\n"
	readme := read(t, "README.md")
	if *update {
		readme = regexp.MustCompile("(?s)```mermaid\n.*?```\n").ReplaceAllLiteralString(readme, block)
		if err := os.WriteFile(filepath.Join(root, "README.md"), []byte(readme), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(readme, block) {
		t.Errorf("README.md should have this block, which -update writes:\n%s", block)
	}
}
