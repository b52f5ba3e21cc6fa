package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// jobErrors logs errors and panics of jobs that could not be recorded with the notification. It
// implements [river.ErrorHandler].
type jobErrors struct{ log *slog.Logger }

// HandleError implements [river.ErrorHandler].
func (e jobErrors) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	e.log.ErrorContext(ctx, "delivery failed", slog.String("job", string(job.EncodedArgs)), slog.Any("error", err))
	return nil
}

// HandlePanic implements [river.ErrorHandler].
func (e jobErrors) HandlePanic(
	ctx context.Context, job *rivertype.JobRow, cause any, trace string,
) *river.ErrorHandlerResult {
	e.log.ErrorContext(ctx, "delivery panicked", slog.String("job", string(job.EncodedArgs)),
		slog.Any("panic", fmt.Errorf("%v", cause)), slog.Any("stack", strings.Split(trace, "\n")))
	return nil
}

// A demotingHandler lowers the level of each record by one: River logs routine events every few
// seconds at level Info.
type demotingHandler struct{ slog.Handler }

const oneLevel = slog.LevelInfo - slog.LevelDebug

// Enabled implements [slog.Handler].
func (h demotingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level-oneLevel)
}

// Handle implements [slog.Handler].
func (h demotingHandler) Handle(ctx context.Context, record slog.Record) error {
	record.Level -= oneLevel
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements [slog.Handler].
func (h demotingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demotingHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h demotingHandler) WithGroup(name string) slog.Handler {
	return demotingHandler{h.Handler.WithGroup(name)}
}
