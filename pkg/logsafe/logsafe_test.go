package logsafe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"unicode/utf8"

	"example.com/micromachine/pkg/logsafe"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"https://census.service/user/42/", "https://census.service/user/42/"},
		{`path "/a b" is 100% of it & more`, `path "/a b" is 100% of it & more`},
		{"zażółć 中文", "zażółć 中文"},
		{"user@example.com", "(with an @)"},
		{"/user/jane.doe@example.com/", "/user/(with an @)/"},
		{"/user/jane.doe%40example.com", "/user/(with an @)"},
		{"/user/jane.doe%2540example.com/x", "/user/(with an @)/x"},
		{"/user/jane.doe%25252540example.com/x", "/user/(with an @)/x"},
		{"?email=jane@example.com&limit=1", "?email=(with an @)&limit=1"},
		{"mailto:jane@example.com", "(with an @)"},
		{`to "jane doe"@example.com, then`, "to (with an @), then"},
		{`to \"jane doe\"@example.com, then`, "to (with an @), then"},
		{"Jane <jane@example.com>", "Jane <(with an @)>"},
		{"jane＠example.com", "(with an @)"},
		{"jane\ufe6bexample.com", "(with an @)"},
		{`jane\u0040example.com`, "(with an @)"},
		{`jane\\u0040example.com`, "(with an @)"},
		{"jane&#64;example.com", "(with an @)"},
		{"jane&commat;example.com", "(with an @)"},
		{"a@b@c", "(with an @)"},
		{"jane@example.com: no such user", "(with an @): no such user"},
		{"a@b and c@d", "(with an @) and (with an @)"},
		{"postgres://census:secret@db:5432/census", "postgres://(with an @):5432/census"},
		{"line\nbreak\ttab\x00nul\x1b[31m", `line\nbreak\ttab\x00nul\x1b[31m`},
		{"\u202eright to left\u200b", `\u202eright to left\u200b`},
		{"bad \xff utf-8", `bad \xff utf-8`},
		{strings.Repeat("a", 200), strings.Repeat("a", 200)},
		{strings.Repeat("a", 201), strings.Repeat("a", 200) + "…"},
		{strings.Repeat("é", 150), strings.Repeat("é", 100) + "…"},
		{strings.Repeat("a", 199) + "é", strings.Repeat("a", 199) + "…"},
	} {
		if got := logsafe.Text(test.text); got != test.want {
			t.Errorf("Text(%q) = %q, want %q", test.text, got, test.want)
		} else if again := logsafe.Text(got); len(got) <= 200 && again != got {
			t.Errorf("Text(%q) = %q, and cleaned again %q", test.text, got, again)
		}
	}
}

// An address that crosses the bound is masked.
func TestTextMasksBeforeItCuts(t *testing.T) {
	t.Parallel()
	for before := range 260 {
		text := strings.Repeat("x ", before/2) + strings.Repeat(" ", before%2) + "jane.doe@example.com" +
			strings.Repeat(" y", 4000)
		if got := logsafe.Text(text); strings.Contains(got, "jane") || strings.Contains(got, "@e") {
			t.Errorf("after %d bytes: %q", before, got)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("jane@example.com")
	f.Add("\xff%2540\n" + strings.Repeat("é", 300))
	f.Fuzz(func(t *testing.T, text string) {
		got := logsafe.Text(text)
		if len(got) > 200+len("…") || !utf8.ValidString(got) {
			t.Errorf("Text(%q) = %q, of %d bytes", text, got, len(got))
		}
		if rest := strings.ReplaceAll(got, "(with an @)", ""); strings.ContainsAny(rest, "\n\x00\x1b＠") {
			t.Errorf("Text(%q) = %q", text, got)
		}
	})
}

// named is a string type, as issuers and subjects are.
type named string

func TestHandler(t *testing.T) {
	t.Parallel()
	const address = "jane@example.com"
	var out bytes.Buffer
	log := slog.New(logsafe.NewHandler(slog.NewJSONHandler(&out, nil))).With("with", address)
	log.WithGroup("group").Error("about "+address,
		"string", address, "error", fmt.Errorf("for %s: %w", address, errors.ErrUnsupported), "named", named(address),
		"list", []string{address}, "long", strings.Repeat("x", 10_000), "number", 42, "nil", nil,
		slog.Group("inner", "string", address))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "jane") {
		t.Errorf("the line has the address: %s", out.String())
	}
	group := line["group"].(map[string]any)
	if got := group["error"]; got != "for (with an @): unsupported operation" {
		t.Errorf("error is %q", got)
	}
	if got := group["number"]; got != 42.0 {
		t.Errorf("number is %v", got)
	}
	if got := len(group["long"].(string)); got > 2048+len("…") {
		t.Errorf("a text of %d bytes", got)
	}
}

// The handler meets the requirements of [slog.Handler].
func TestHandlerConforms(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return logsafe.NewHandler(slog.NewJSONHandler(&out, nil))
	}, func(t *testing.T) map[string]any {
		line := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
}
