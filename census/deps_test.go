package census_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Census does not link River, the job queue of Herald.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 100 {
		t.Errorf("go list printed %d packages", len(packages))
	}
	for _, path := range packages {
		if strings.HasPrefix(path, "github.com/riverqueue/") {
			t.Errorf("Census links %s", path)
		}
	}
}
