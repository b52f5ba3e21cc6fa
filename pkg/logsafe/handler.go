package logsafe

import (
	"context"
	"log/slog"
	"reflect"
)

// A handler cleans the text of each record before the next handler gets it.
type handler struct{ next slog.Handler }

// NewHandler returns a handler that cleans each record and passes it on to next. It cleans the
// message and every string, error and list of strings in the attributes as [Text] does, but keeps
// up to 2 KiB of each. Attributes of other types are passed on unchanged. If next is already such a
// handler, NewHandler returns it.
func NewHandler(next slog.Handler) slog.Handler {
	if h, ok := next.(handler); ok {
		return h
	}
	return handler{next}
}

// Enabled implements [slog.Handler].
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h handler) Handle(ctx context.Context, record slog.Record) error {
	clean := slog.NewRecord(record.Time, record.Level, cleanAttribute(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(cleanAttr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

// WithAttrs implements [slog.Handler].
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.next.WithAttrs(cleanAttrs(attrs))}
}

// WithGroup implements [slog.Handler].
func (h handler) WithGroup(name string) slog.Handler { return handler{h.next.WithGroup(name)} }

func cleanAttribute(s string) string { return clean(s, maxAttribute) }

func cleanAttrs(attrs []slog.Attr) []slog.Attr {
	cleaned := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		cleaned = append(cleaned, cleanAttr(a))
	}
	return cleaned
}

func cleanAttr(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cleanAttribute(a.Value.String()))
	case slog.KindGroup:
		a.Value = slog.GroupValue(cleanAttrs(a.Value.Group())...)
	case slog.KindAny:
		a.Value = cleanAny(a.Value)
	default: // numbers, times and durations
	}
	return a
}

func cleanAny(v slog.Value) slog.Value {
	switch value := v.Any().(type) {
	case nil:
		return v
	case error:
		return slog.StringValue(cleanAttribute(value.Error()))
	case []string:
		texts := make([]string, 0, len(value))
		for _, text := range value {
			texts = append(texts, cleanAttribute(text))
		}
		return slog.AnyValue(texts)
	}
	if value := reflect.ValueOf(v.Any()); value.Kind() == reflect.String {
		return slog.StringValue(cleanAttribute(value.String()))
	}
	return v
}
