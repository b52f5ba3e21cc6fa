// Package outage logs a condition that is looked at again and again, such as a dependency that is not there, without a
// line for every look: when it begins, when its cause changes, once a minute, and when it ends.
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

// repeatAfter is the time after which an outage that lasts is logged again.
const repeatAfter = time.Minute

// A Log is the log of one condition. It is safe for concurrent use.
type Log struct {
	log       *slog.Logger
	mu        sync.Mutex
	cause     string
	began     time.Time // zero while there is no outage
	mentioned time.Time
}

// NewLog returns a log of whether the check of that name passes.
func NewLog(log *slog.Logger, check string) *Log {
	return &Log{log: slog.New(logsafe.NewHandler(log.Handler())).With(slog.String("check", check))}
}

// Observe takes the result of a look: an error during the outage, else nil.
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
	known := !l.began.IsZero() && cause == l.cause && now.Sub(l.mentioned) < repeatAfter
	if l.began.IsZero() {
		l.began = now
	}
	if !known {
		l.cause, l.mentioned = cause, now
		l.log.LogAttrs(ctx, slog.LevelError, "not ready", slog.Any("error", err))
	}
}

// withoutNumbers makes the same text of errors that differ in a port or a time.
func withoutNumbers(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, s)
}
