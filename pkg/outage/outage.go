// Package outage logs the result of a check that runs repeatedly, such as the readiness of a
// dependency. It does not log every result. It logs when an outage begins, when its cause changes,
// once a minute while it lasts, and when it ends.
package outage

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"example.com/micromachine/pkg/logsafe"
)

// repeatAfter is the time after which a continuing outage is logged again.
const repeatAfter = time.Minute

// A Log logs the outages of one check. It is safe for concurrent use.
type Log struct {
	log    *slog.Logger
	mu     sync.Mutex
	cause  string
	began  time.Time // zero while there is no outage
	logged time.Time // when the outage was last logged
}

// NewLog returns a Log of the check with this name.
func NewLog(log *slog.Logger, check string) *Log {
	return &Log{log: slog.New(logsafe.NewHandler(log.Handler())).With(slog.String("check", check))}
}

// Observe records a check result. A nil error means that the check passed.
func (l *Log) Observe(ctx context.Context, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if err == nil {
		if !l.began.IsZero() {
			l.log.LogAttrs(ctx, slog.LevelInfo, "ready again", slog.Duration("after", now.Sub(l.began)))
		}
		l.began = time.Time{}
		return
	}
	cause := withoutNumbers(err.Error())
	known := !l.began.IsZero() && cause == l.cause && now.Sub(l.logged) < repeatAfter
	if l.began.IsZero() {
		l.began = now
	}
	if !known {
		l.cause, l.logged = cause, now
		l.log.LogAttrs(ctx, slog.LevelError, "not ready", slog.Any("error", err))
	}
}

// withoutNumbers removes the digits, so that errors that differ only in a port or a time have the
// same text.
func withoutNumbers(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, s)
}
