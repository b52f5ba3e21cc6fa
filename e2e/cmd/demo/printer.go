package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A printer prints the story as plain text and counts failed checks.
type printer struct {
	out      io.Writer
	failures []string
}

// A notifyingWriter calls onError when a write fails, as when the reader of a pipe has ended.
type notifyingWriter struct {
	out     io.Writer
	onError func()
}

// Write implements [io.Writer].
func (w notifyingWriter) Write(data []byte) (int, error) {
	n, err := w.out.Write(data)
	if err != nil {
		w.onError()
	}
	return n, err
}

func (p *printer) title(text string) { fmt.Fprintf(p.out, "\n== %s\n\n", text) }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.out, "   "+format+"\n", args...) }

// block prints text of several lines, indented.
func (p *printer) block(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		p.line("  %s", strings.TrimRight(line, "\r"))
	}
}

// json prints a JSON text, indented.
func (p *printer) json(data []byte) {
	var out bytes.Buffer
	if json.Indent(&out, data, "", "  ") != nil {
		out.Reset()
		out.Write(data)
	}
	p.block(out.String())
}

// token prints the header and the claims of a JWT.
func (p *printer) token(compact string) {
	parts := strings.Split(compact, ".")
	for i, name := range []string{"header", "claims"} {
		if i >= len(parts) {
			break
		}
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			data = []byte(err.Error())
		}
		p.line("JWT %s", name)
		p.json(data)
	}
}

// check records and prints a failure unless ok is true.
func (p *printer) check(ok bool, format string, args ...any) {
	if ok {
		return
	}
	failure := fmt.Sprintf(format, args...)
	p.failures = append(p.failures, failure)
	p.line("CHECK FAILED: %s", failure)
}

// failed returns an error when a check has failed.
func (p *printer) failed() error {
	if len(p.failures) > 0 {
		return fmt.Errorf("%d checks failed: %s", len(p.failures), strings.Join(p.failures, "; "))
	}
	return nil
}
