package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/pkg/pgtest"
)

// hangVariable is set by TestInterruptedRun to run TestHang, which does not end.
const hangVariable = "PGTEST_HANG"

func TestHang(t *testing.T) {
	if os.Getenv(hangVariable) == "" {
		t.Skip("run by TestInterruptedRun")
	}
	fmt.Println(pgtest.New(t, migrateTags))
	select {}
}

func TestInterruptedRun(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			needsPrograms(t)
			t.Setenv(hangVariable, "1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			run := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestHang$")
			run.Stderr = t.Output()
			out, err := run.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("reading from the run: %v", err)
			}
			databaseURL := strings.TrimSpace(line)
			conn := connect(t, databaseURL)
			conn.Close(ctx)

			if err := run.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out)
			err = run.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 128+int(sig) {
				t.Errorf("run ended with %v, want exit status %d", err, 128+int(sig))
			}
			if conn, err := pgx.Connect(ctx, databaseURL); err == nil {
				conn.Close(ctx)
				t.Error("the server is left running")
			}
		})
	}
}
