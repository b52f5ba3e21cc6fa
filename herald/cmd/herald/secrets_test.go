package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/pgtest"
)

// What is malformed about a setting that may hold a secret is told in one line which names the setting and leaves out
// the value.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	environ := newWorld(t, "").environ
	commands := [][]string{{"migrate"}, {"serve"}}
	for _, value := range pgtest.MalformedSettings("hunter2") {
		for _, args := range commands {
			for _, setting := range []string{"HERALD_DATABASE_URL=", "HERALD_DATABASE_URL_FILE="} {
				wantSecret(t, append(slices.Clip(environ), setting+value), args)
			}
		}
	}
	for _, setting := range []string{
		"HERALD_SMTP_PASSWORD_FILE=hunter2", "HERALD_SMTP_PASSWORD_FILE=hunter2\nhunter2",
		"HERALD_SMTP_ADDR=u:hunter2@mail:25", "HERALD_SMTP_ADDR=hunter2@mail:25", "HERALD_SMTP_ADDR=smtp://u:hunter2@mail:25",
		"HERALD_SMTP_ADDR=hunter2",
	} {
		wantSecret(t, append(slices.Clip(environ), "HERALD_DATABASE_URL=postgres://127.0.0.1:1/x", setting), []string{"serve"})
	}
	for _, setting := range []string{"HERALD_KEY_FILE=", "HERALD_TLS_KEY_FILE="} {
		value := "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"
		wantSecret(t, append(slices.Clip(environ), "HERALD_DATABASE_URL=postgres://127.0.0.1:1/x", setting+value), []string{"serve"})
	}
}

// wantSecret runs a command, for no longer than a moment if it does not end by itself, and fails the test if it tells the
// secret or more than a line.
func wantSecret(t *testing.T, environ, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err := run(ctx, args, environ, &stdout, &stderr)
	told := stdout.String() + stderr.String()
	if err != nil {
		told += err.Error()
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v with %q: several lines: %v", args, environ[len(environ)-1], err)
		}
	}
	if strings.Contains(told, "hunter2") {
		t.Errorf("%v with %q: %s", args, environ[len(environ)-1], told)
	}
	if args[0] != "serve" && err == nil {
		t.Errorf("%v with %q: no error", args, environ[len(environ)-1])
	}
}
