package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// jobErrors logs the errors of jobs: what could not even be recorded with the
// notification. It implements [river.ErrorHandler].
type jobErrors struct{ log *slog.Logger }

// HandleError implements [river.ErrorHandler].
func (e jobErrors) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	e.log.ErrorContext(ctx, "delivery broke off", slog.String("job", string(job.EncodedArgs)), slog.Any("error", err))
	return nil
}

// HandlePanic implements [river.ErrorHandler].
func (e jobErrors) HandlePanic(ctx context.Context, job *rivertype.JobRow, cause any, trace string) *river.ErrorHandlerResult {
	e.log.ErrorContext(ctx, "delivery panicked", slog.String("job", string(job.EncodedArgs)),
		slog.Any("panic", fmt.Errorf("%v", cause)), slog.Any("stack", strings.Split(trace, "\n")))
	return nil
}

// A quieter handler takes each record for one level less important than it says:
// what is news to River, every few seconds, is a detail here.
type quieter struct{ slog.Handler }

const oneLevel = slog.LevelInfo - slog.LevelDebug

// Enabled implements [slog.Handler].
func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, level-oneLevel)
}

// Handle implements [slog.Handler].
func (q quieter) Handle(ctx context.Context, record slog.Record) error {
	record.Level -= oneLevel
	return q.Handler.Handle(ctx, record)
}

// WithAttrs implements [slog.Handler].
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }
