package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuiltPrograms returns the directory of the built programs. It is the value of E2E_BIN_DIR, which
// make test sets. Without it the programs are built below dir.
func BuiltPrograms(ctx context.Context, dir string) (string, error) {
	if built := os.Getenv("E2E_BIN_DIR"); built != "" {
		return built, nil
	}
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", bin,
		"example.com/micromachine/census/cmd/census", "example.com/micromachine/herald/cmd/herald",
		"example.com/micromachine/pkg/svcauth/cmd/svcauth")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs: %w: %s", err, out)
	}
	return bin, nil
}
