package servicetest

import (
	"strings"
	"testing"

	"example.com/micromachine/pkg/service"
)

// Result is what a command has printed and returned.
type Result struct {
	Stdout, Stderr string
	Err            error
}

// Execute runs a command whose whole environment is environ.
func Execute(tb testing.TB, define Define, environ []string, args ...string) Result {
	tb.Helper()
	var stdout, stderr strings.Builder
	err := service.Run(tb.Context(), define(), args, environ, &stdout, &stderr)
	return Result{stdout.String(), stderr.String(), err}
}

// MustSucceed ends the test unless the command succeeded.
func (r Result) MustSucceed(tb testing.TB) {
	tb.Helper()
	if r.Err != nil {
		tb.Fatalf("%v\n%s", r.Err, r.Stderr)
	}
}

// MustFail fails the test unless the command failed with an exit code and an error that holds
// message, and printed nothing on stdout.
func (r Result) MustFail(tb testing.TB, code int, message string) {
	tb.Helper()
	if r.Err == nil || service.ExitCode(r.Err) != code || !strings.Contains(r.Err.Error(), message) {
		tb.Errorf("got %v, want exit code %d and %q", r.Err, code, message)
	}
	if r.Stdout != "" {
		tb.Errorf("a failing command printed %q", r.Stdout)
	}
}
