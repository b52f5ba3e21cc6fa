package command_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"example.com/micromachine/pkg/command"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	failure := errors.New("failure")
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{failure, 1},
		{command.Misuse(nil), 0},
		{command.Misuse(failure), 2},
		{fmt.Errorf("starting: %w", command.Misuse(failure)), 2},
	} {
		if got := command.ExitCode(row.err); got != row.want {
			t.Errorf("%v: exit code %d, want %d", row.err, got, row.want)
		}
	}
	if !errors.Is(command.Misuse(failure), failure) {
		t.Error("a misuse hides its cause")
	}
}

type settings struct {
	Name  string `env:"X_NAME,notEmpty"`
	Count int    `env:"X_COUNT" envDefault:"3"`
	Token string `env:"X_TOKEN"`
	File  string `env:"X_TOKEN_FILE"`
}

func (s *settings) Complete() []error {
	var err error
	if s.Token, err = command.Secret("X_TOKEN", s.Token, s.File); err != nil {
		return []error{err}
	}
	return nil
}

func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := command.Settings[settings]([]string{"X_NAME=a=b", "X_TOKEN_FILE=" + file, "OTHER=1"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (settings{Name: "a=b", Count: 3, Token: "secret", File: file}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSettingsNameAllFaults(t *testing.T) {
	t.Parallel()
	_, err := command.Settings[settings]([]string{"X_NAME=", "X_TOKEN=a", "X_TOKEN_FILE=b"})
	const want = "X_NAME: not set\nX_TOKEN: set, and X_TOKEN_FILE too"
	if err == nil || err.Error() != want || command.ExitCode(err) != 2 {
		t.Errorf("got exit code %d, %v, want 2, %s", command.ExitCode(err), err, want)
	}
	_, err = command.Settings[settings]([]string{"X_NAME=a", "X_TOKEN_FILE=/nonexistent/token"})
	if command.ExitCode(err) != 2 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
