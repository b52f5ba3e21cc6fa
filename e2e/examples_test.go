package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

// exampleHerald is Herald's address in the examples, at which compose publishes it.
const exampleHerald = "127.0.0.1:8442"

// An example is a program of a README that signs a call to Herald without the library. It is the
// only block of code in its language there.
type example struct{ readme, language, interpreter string }

// TestExamples runs the examples as they are printed. Only Herald's address is replaced by that of
// the system.
func TestExamples(t *testing.T) {
	for _, e := range []example{
		{"../README.md", "sh", "sh"},
		{"../pkg/svcauth/README.md", "python", "python3"},
	} {
		t.Run(e.language, func(t *testing.T) {
			needExamplePrograms(t)
			n := createdBy(t, e.run(t))
			if n.User != stack.CensusUser.URI() || n.Type != "welcome-message" {
				t.Errorf("201 with %+v", n)
			}
			awaitOneMail(t, n, 10*time.Second)
		})
	}
}

// needExamplePrograms skips a test if this machine does not have what the examples need. In CI the
// test fails. The Makefile reports the same condition as NOT RUN.
func needExamplePrograms(t *testing.T) {
	t.Helper()
	version, _ := exec.CommandContext(t.Context(), "openssl", "version").Output() // empty without openssl
	_, curlErr := exec.LookPath("curl")
	_, pythonErr := exec.LookPath("python3")
	switch {
	case curlErr == nil && pythonErr == nil && regexp.MustCompile(`^OpenSSL ([3-9]|\d\d)`).Match(version):
	case os.Getenv("CI") != "":
		t.Fatal("not on this machine: curl, python3 or OpenSSL 3")
	default:
		t.Skip("NOT RUN: curl, python3 or OpenSSL 3 is not installed")
	}
}

// code returns the program, with Herald's address.
func (e example) code(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(e.readme)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n```"+e.language+"\n")
	if len(parts) != 2 {
		t.Fatalf("%s has %d blocks of %s, not 1", e.readme, len(parts)-1, e.language)
	}
	code, _, _ := strings.Cut(parts[1], "```")
	if !strings.Contains(code, exampleHerald) {
		t.Fatalf("%s: the %s example does not call %s", e.readme, e.language, exampleHerald)
	}
	return strings.ReplaceAll(code, exampleHerald, sys.heraldAddr())
}

// run runs the program in a directory in which .compose has the callers' keys and the CA, and
// returns its output.
func (e example) run(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	another, _, _ := callers(t)
	if err := os.Symlink(filepath.Dir(another.KeyFile), filepath.Join(dir, ".compose")); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "example")
	if err := os.WriteFile(program, []byte(e.code(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), e.interpreter, program)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, &stderr)
	}
	return string(out)
}

// createdBy returns the notification at the end of an example's output, which begins with the status
// 201, after the HTTP version in the output of curl.
func createdBy(t *testing.T, output string) (n notification) {
	t.Helper()
	if !regexp.MustCompile(`^(HTTP/\S+ )?201\s`).MatchString(output) {
		t.Fatalf("no status 201: %s", output)
	}
	if err := json.Unmarshal([]byte(output[max(0, strings.Index(output, "{")):]), &n); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return n
}
