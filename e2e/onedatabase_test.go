package e2e_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
)

// TestOneDatabase runs all services on one database.
func TestOneDatabase(t *testing.T) {
	if os.Getenv("E2E_TARGET") == "compose" {
		t.Skip("the compose project has a database for each service")
	}
	bin, err := stack.BuiltPrograms(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.Start(t.Context(), stack.Config{
		BinDir: bin, Dir: t.TempDir(), Logf: func(string, ...any) {}, OneDatabase: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	res, err := s.Another.Call(t.Context(), http.MethodPost, notifications, welcome, stack.Reader.Subject())
	if err != nil {
		t.Fatal(err)
	}
	n, err := accepted(res)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "mail", 15*time.Second, func() bool {
		mails, err := processes{s}.mails(t.Context(), n.messageID())
		if err != nil {
			t.Fatal(err)
		}
		return len(mails) == 1
	})
}
