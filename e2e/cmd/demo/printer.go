package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A printer shows the story as plain text.
type printer struct {
	out      io.Writer
	failures []string
}

// watched is an output whose reader may go away, as that of a pipe does: gone is called then.
type watched struct {
	io.Writer
	gone func()
}

func (w watched) Write(data []byte) (int, error) {
	n, err := w.Writer.Write(data)
	if err != nil {
		w.gone()
	}
	return n, err
}

func (p *printer) title(text string) { fmt.Fprintf(p.out, "\n== %s\n\n", text) }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.out, "   "+format+"\n", args...) }

// block shows text of several lines, indented.
func (p *printer) block(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		p.line("  %s", strings.TrimRight(line, "\r"))
	}
}

// json shows a JSON text on lines of its own.
func (p *printer) json(data []byte) {
	var out bytes.Buffer
	if json.Indent(&out, data, "", "  ") != nil {
		out.Reset()
		out.Write(data)
	}
	p.block(out.String())
}

// token shows what a JWT says.
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

// check notes, and says, that something is not as it should be.
func (p *printer) check(ok bool, format string, args ...any) {
	if ok {
		return
	}
	failure := fmt.Sprintf(format, args...)
	p.failures = append(p.failures, failure)
	p.line("NOT AS IT SHOULD BE: %s", failure)
}

// verdict is an error when anything was not as it should be.
func (p *printer) verdict() error {
	if len(p.failures) > 0 {
		return fmt.Errorf("%d things were not as they should be: %s", len(p.failures), strings.Join(p.failures, "; "))
	}
	return nil
}
