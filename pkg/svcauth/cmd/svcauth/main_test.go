package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the program itself if the environment says so, for TestProgram.
func TestMain(m *testing.M) {
	if os.Getenv("SVCAUTH_TEST_AS_PROGRAM") == "1" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// A result is the result of a command line.
type result struct {
	status   int
	out, err string
}

func execute(tb testing.TB, stdin string, args ...string) result {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	status := run(tb.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{status, stdout.String(), stderr.String()}
}

// succeed runs a command line that must succeed, and returns its output.
func succeed(tb testing.TB, args ...string) string {
	tb.Helper()
	r := execute(tb, "", args...)
	if r.status != exitOK || r.err != "" {
		tb.Fatalf("svcauth %s: status %d, stderr %q", strings.Join(args, " "), r.status, r.err)
	}
	return r.out
}

// mustFail checks the status, and that stderr is one line that contains want.
func (r result) mustFail(tb testing.TB, status int, want string) {
	tb.Helper()
	if r.status != status {
		tb.Errorf("status %d, want %d (stderr %q)", r.status, status, r.err)
	}
	if strings.Count(r.err, "\n") != 1 || !strings.HasSuffix(r.err, "\n") || !strings.Contains(r.err, want) {
		tb.Errorf("stderr %q: want one line with %q", r.err, want)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	overview := succeed(t, "help")
	for _, c := range commands {
		if !strings.Contains(overview, "\n  "+c.name+" ") {
			t.Errorf("the overview does not list %s", c.name)
		}
		words := strings.Fields(c.name)
		text := succeed(t, append([]string{"help"}, words...)...)
		for _, want := range []string{"usage: svcauth " + c.name + " ", "\nflags:\n  ", "\nexamples:\n  ", "exit status: 0 "} {
			if !strings.Contains(text, want) {
				t.Errorf("the help of %s lacks %q:\n%s", c.name, want, text)
			}
		}
		for _, flag := range []string{"-h", "--help"} {
			if got := succeed(t, append(words, flag)...); got != text {
				t.Errorf("%s %s prints something else than help %s", c.name, flag, c.name)
			}
		}
	}
}

// TestExamples checks that the commands and flags in the examples of the help exist.
func TestExamples(t *testing.T) {
	t.Parallel()
	notInWord := func(r rune) bool { return strings.ContainsRune(" \t'\"()", r) }
	for _, c := range commands {
		found := false
		for line := range strings.SplitSeq(strings.ReplaceAll(strings.Join(c.examples, "\n"), "\\\n", " "), "\n") {
			line, _, _ = strings.Cut(line, " # ")
			for part := range strings.SplitSeq(line, "|") {
				words := strings.FieldsFunc(part, notInWord)
				start := slices.Index(words, "svcauth")
				if start < 0 {
					continue
				}
				named, rest, err := find(words[start+1:])
				if err != nil {
					t.Errorf("%s: %v", part, err)
					continue
				}
				found = found || named.name == c.name
				checkFlags(t, named, rest)
			}
		}
		if !found {
			t.Errorf("%s has no example", c.name)
		}
	}
}

func checkFlags(tb testing.TB, c command, words []string) {
	tb.Helper()
	fs := c.flagSet()
	c.define(fs)
	for _, word := range words {
		if name := strings.TrimLeft(word, "-"); name != word && name != "" && fs.Lookup(name) == nil {
			tb.Errorf("an example has %s: svcauth %s knows no such flag", word, c.name)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":      {[]string{"keygn"}, "no such command"},
		"help of unknown":      {[]string{"help", "keygn"}, "no such command"},
		"unknown flag":         {[]string{"keygen", "--force"}, "not defined: --force"},
		"flag without value":   {[]string{"keygen", "--out"}, "needs an argument: --out"},
		"bad flag value":       {[]string{"token", "--lifetime", "soon"}, "for flag --lifetime"},
		"keygen without out":   {[]string{"keygen"}, "--out is missing"},
		"keygen with too much": {[]string{"keygen", "--out", "x.pem", "y.pem"}, `"y.pem"`},
		"keygen algorithm":     {[]string{"keygen", "--out", "x.pem", "--alg", "HS256"}, `"HS256"`},
		"keygen one file":      {[]string{"keygen", "--out", "x.pem", "--public", "x.pem"}, "same file"},
		"keygen jwks as out":   {[]string{"keygen", "--out", "x.pem", "--jwks", "x.pem"}, "--jwks and --out are the same file"},
		"keygen jwks as PEM":   {[]string{"keygen", "--out", "x.pem", "--public", "y", "--jwks", "y"}, "--jwks and --public are the same file"},
		"jwks without file":    {[]string{"jwks"}, "no KEY-FILE"},
		"dev-ca without dir":   {[]string{"dev-ca", "census.service"}, "--dir is missing"},
		"dev-ca without host":  {[]string{"dev-ca", "--dir", "x"}, "no HOST"},
		"request without URL":  {[]string{"request", "--key", "x.pem"}, "exactly one URL"},
		"token with two URLs":  {[]string{"token", "https://a.service/", "https://b.service/"}, "exactly one URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := execute(t, "", test.args...)
			r.mustFail(t, exitUsage, test.want)
			if r.out != "" {
				t.Errorf("stdout %q", r.out)
			}
		})
	}
}

func TestNoCommand(t *testing.T) {
	t.Parallel()
	if r := execute(t, ""); r.status != exitUsage || !strings.Contains(r.err, "usage: svcauth COMMAND") || r.out != "" {
		t.Errorf("%+v", r)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	if status := run(t.Context(), []string{"help"}, nil, fullDisk{}, &stderr); status != exitFailed {
		t.Errorf("status %d with stderr %q, want %d", status, &stderr, exitFailed)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestProgram(t *testing.T) {
	t.Parallel()
	for status, args := range map[int][]string{
		exitOK:     {"help"},
		exitFailed: {"jwks", "no-such-key.pem"},
		exitUsage:  {"no-such-command"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), "SVCAUTH_TEST_AS_PROGRAM=1")
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
			t.Errorf("svcauth %v: %v, want status %d", args, err, status)
		}
	}
}
