package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"strings"
)

// BuiltPrograms returns the directory of the built programs. It is the value of E2E_BIN_DIR, which
// make test sets. Without it the programs are built below dir.
func BuiltPrograms(ctx context.Context, dir string) (string, error) {
	if built := os.Getenv("E2E_BIN_DIR"); built != "" {
		return built, nil
	}
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	module, _, _ := strings.Cut(reflect.TypeFor[Stack]().PkgPath(), "/e2e/")
	args := []string{"build", "-buildvcs=false", "-o", bin, module + "/pkg/svcauth/cmd/svcauth"}
	for _, service := range Services() {
		args = append(args, path.Join(module, service.Name, "cmd", service.Name))
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs: %w: %s", err, out)
	}
	return bin, nil
}
