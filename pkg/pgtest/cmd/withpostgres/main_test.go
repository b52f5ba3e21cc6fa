package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// program is the path of the built program.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "withpostgres_")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "withpostgres")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	m.Run()
}

// A running is a started withpostgres whose command prints lines.
type running struct {
	*exec.Cmd
	stdin io.Closer
	lines *bufio.Reader
}

// tried runs withpostgres once, to check whether PostgreSQL programs are installed.
var tried = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command(program, "true")
	cmd.Env = append(os.Environ(), "DATABASE_URL=", "PGTEST_REQUIRE=installed programs")
	return cmd.CombinedOutput()
})

// needsPrograms skips a test when PostgreSQL programs are not installed. In CI it fails the test.
func needsPrograms(t *testing.T) {
	t.Helper()
	out, err := tried()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("not on this machine: %s", out)
	default:
		t.Skipf("not on this machine: %s", out)
	}
}

// start runs a shell script under withpostgres with the installed programs, because they stop
// quickly.
func start(t *testing.T, script string) *running {
	t.Helper()
	needsPrograms(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r := &running{Cmd: exec.CommandContext(ctx, program, "sh", "-c", script)}
	r.Env = append(os.Environ(), "DATABASE_URL=", "PGTEST_REQUIRE=installed programs")
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if r.stdin, err = r.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r.lines, r.Stderr = bufio.NewReader(out), t.Output()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); r.Wait() })
	return r
}

func (r *running) line(t *testing.T) string {
	t.Helper()
	line, err := r.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("reading from the command: %v", err)
	}
	return strings.TrimSpace(line)
}

// end waits for the program and returns its exit status.
func (r *running) end(t *testing.T) int {
	t.Helper()
	_, _ = io.Copy(io.Discard, r.lines)
	err := r.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("waiting: %v", err)
	}
	return r.ProcessState.ExitCode()
}

func answers(databaseURL string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return false
	}
	conn.Close(ctx)
	return true
}

func TestCommandGetsTheServer(t *testing.T) {
	t.Parallel()
	r := start(t, `echo "$DATABASE_URL"; read -r _; exit 7`)
	databaseURL := r.line(t)
	if !answers(databaseURL) {
		t.Error("no server at DATABASE_URL")
	}
	r.stdin.Close()
	if status := r.end(t); status != 7 {
		t.Errorf("exit status %d, want the command's 7", status)
	}
	if answers(databaseURL) {
		t.Error("the server outlives the command")
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script string
		signal os.Signal
		want   int
	}{
		{"handled SIGTERM", `trap 'exit 5' TERM; echo "$DATABASE_URL"; echo ready; while :; do sleep 0.05; done`, syscall.SIGTERM, 5},
		{"handled SIGINT", `trap 'exit 6' INT; echo "$DATABASE_URL"; echo ready; while :; do sleep 0.05; done`, syscall.SIGINT, 6},
		{"deadly SIGTERM", `echo "$DATABASE_URL"; echo ready; exec sleep 60`, syscall.SIGTERM, 128 + 15},
		{"to its children too", `trap "wait; exit 4" TERM; echo "$DATABASE_URL"
			sh -c 'trap "echo child; exit" TERM; echo ready; while :; do sleep 0.05; done' & wait`, syscall.SIGTERM, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, test.script)
			databaseURL := r.line(t)
			if line := r.line(t); line != "ready" {
				t.Fatalf("the command printed %q", line)
			}
			if err := r.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if status := r.end(t); status != test.want {
				t.Errorf("exit status %d, want %d", status, test.want)
			}
			if answers(databaseURL) {
				t.Error("the server is left running")
			}
		})
	}
}

// withpostgres cannot clean up after a SIGKILL. The server stops by itself.
func TestServerEndsWithParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux signals a process when its parent ends")
	}
	t.Parallel()
	r := start(t, `echo "$DATABASE_URL"; read -r _`)
	databaseURL := r.line(t)
	defer r.stdin.Close() // ends the command
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var data string
	if err := conn.QueryRow(t.Context(), `show data_directory`).Scan(&data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(data)) })
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The server closes the connection when it stops.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := conn.WaitForNotification(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the server outlives its parent: %v", err)
	}
}

// A Docker that accepts connections and never responds must not block the search.
func TestHangingDocker(t *testing.T) {
	t.Parallel()
	needsPrograms(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "true")
	cmd.Env = append(os.Environ(), "DATABASE_URL=", "PGTEST_REQUIRE=", "DOCKER_HOST=tcp://"+listener.Addr().String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "withpostgres: DATABASE_URL: not set\n" +
		"withpostgres: Docker: not reachable\n" +
		"withpostgres: PostgreSQL: version "
	if !strings.HasPrefix(string(out), want) {
		t.Errorf("printed:\n%s\nwant\n%s…", out, want)
	}
}

func TestSignalDuringTheSearch(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	cmd := exec.CommandContext(t.Context(), program, "echo", "started")
	cmd.Env = append(os.Environ(), "DATABASE_URL=", "PGTEST_REQUIRE=", "DOCKER_HOST=tcp://"+listener.Addr().String())
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// When it has connected to the hanging Docker, the search is in progress.
	if _, err := listener.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if err == nil || strings.Contains(out.String(), "started") {
		t.Errorf("ran the command after SIGTERM: %v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "terminated while searching PostgreSQL") {
		t.Errorf("printed:\n%s", out)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(program).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.HasPrefix(string(out), "usage:") {
		t.Errorf("no command: %v, %q", err, out)
	}
}

func TestCommandNotFound(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(program, "no-such-command-here")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "no-such-command-here") {
		t.Errorf("unknown command: %v, %q", err, out)
	}
}
