package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

// A bodySource is the source of a request's body: --body or --body-file.
type bodySource struct {
	text *string
	file string
}

func (b *bodySource) define(fs *flag.FlagSet) {
	fs.Func("body", "the request's body: a `STRING`", func(s string) error { b.text = &s; return nil })
	fs.StringVar(&b.file, "body-file", "", "the request's body: a `FILE`, or - for standard input")
}

func (b *bodySource) given() bool { return b.text != nil || b.file != "" }

func (b *bodySource) check() error {
	if b.text != nil && b.file != "" {
		return usagef("--body and --body-file exclude each other")
	}
	return nil
}

// A content is a request's body.
type content struct {
	given bool
	data  []byte
	file  string // the regular file that holds it; empty if it has another source
}

func (b *bodySource) read(stdin io.Reader) (content, error) {
	switch {
	case b.text != nil:
		return content{given: true, data: []byte(*b.text)}, nil
	case b.file == "":
		return content{}, nil
	case b.file == "-":
		data, err := io.ReadAll(stdin)
		if err != nil {
			return content{}, fmt.Errorf("reading body: %w", err)
		}
		return content{given: true, data: data}, nil
	}
	data, err := os.ReadFile(b.file)
	if err != nil {
		return content{}, fmt.Errorf("reading body: %w", err)
	}
	body := content{given: true, data: data}
	if info, err := os.Stat(b.file); err == nil && info.Mode().IsRegular() {
		body.file = b.file // a pipe could not be read a second time
	}
	return body, nil
}
