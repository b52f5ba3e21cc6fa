package svcauth_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The package imports no router, no database driver and no metrics library.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"example.com/micromachine/pkg/svcauth", "example.com/micromachine/pkg/logsafe", "example.com/micromachine/pkg/fileperm",
		"github.com/go-jose/go-jose/v4", "github.com/golang-jwt/jwt/v5",
		"github.com/hashicorp/golang-lru/v2", "go.yaml.in/yaml/v3",
	}
	for path := range strings.FieldsSeq(string(out)) {
		host, _, _ := strings.Cut(path, "/")
		if !strings.Contains(host, ".") {
			continue // the standard library
		}
		known := false
		for _, module := range allowed {
			known = known || path == module || strings.HasPrefix(path, module+"/")
		}
		if !known {
			t.Errorf("imports %s", path)
		}
	}
}
