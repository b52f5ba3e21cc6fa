package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/trust"
)

var trustExplainCommand = command{
	name:    "trust explain",
	args:    "--trust FILE --issuer URL [--subject URI] [--json] METHOD PATH",
	summary: "say whether a trust file allows a call, and which line decides",
	about: `Says whether a trust file allows the service --issuer to call METHOD and PATH for --subject, and which
line of the file decides. No token is needed and nothing is fetched. Exit status 0 means that the
call is allowed, 1 that it is refused. It is about calls with service tokens; a user's session token
may make any call to a service that accepts it.`,
	examples: []string{
		"svcauth trust explain --trust trust.yaml --issuer https://herald.service/ GET /user/42/",
		"svcauth trust explain --trust trust.yaml --issuer https://herald.service/ \\",
		"    --subject https://census.service/user/21/ GET /user/42/",
	},
	define: defineTrustExplain,
}

// A question is what trust explain is asked.
type question struct{ trust, issuer, subject, method, path string }

func defineTrustExplain(fs *flag.FlagSet) action {
	var q question
	fs.StringVar(&q.trust, "trust", "", "the receiver's trust `FILE`")
	fs.StringVar(&q.issuer, "issuer", "", "the calling service's name, its base `URL`")
	fs.StringVar(&q.subject, "subject", "",
		"the subject in whose name: a user's `URI`; the default is the issuer itself")
	asJSON := fs.Bool("json", false, "print the decision as JSON, also if the call is refused")
	return func(_ context.Context, std stdio, args []string) error {
		if err := q.parse(args); err != nil {
			return err
		}
		policy, err := trust.ReadFile(q.trust)
		if err != nil {
			return err
		}
		e := newExplanation(q.trust, policy.Explain(q.issuer, q.subject, q.method, q.path))
		switch {
		case *asJSON:
			err = std.json(e)
		case e.Allowed:
			_, err = io.WriteString(std.out, e.text())
		}
		if !e.Allowed {
			err = errors.Join(err, errors.New("refused: "+e.sentence()))
		}
		return err
	}
}

// parse sets method and path, and checks the command line before the file is read.
func (q *question) parse(args []string) error {
	switch {
	case q.trust == "":
		return usagef("--trust is missing")
	case q.issuer == "":
		return usagef("--issuer is missing")
	case len(args) != 2:
		return usagef("exactly METHOD and PATH are wanted, not %s", count(len(args), "argument"))
	}
	if err := serviceurl.Check(q.issuer); err != nil {
		return usagef("--issuer: %v", err)
	}
	q.method, q.path = args[0], args[1]
	switch {
	case !isToken(q.method):
		return usagef("%q is not a method", q.method)
	case !strings.HasPrefix(q.path, "/"):
		return usagef("the path %q does not start with a slash", q.path)
	case strings.ContainsAny(q.path, "?#"):
		return usagef("the path %q has a query or a fragment: trust files allow paths", q.path)
	}
	return nil
}

// An explanation is what trust explain --json prints.
type explanation struct {
	Allowed bool   `json:"allowed"`
	File    string `json:"trust_file"`
	Line    int    `json:"line,omitempty"` // that decides; none if the file does not name the issuer
	Text    string `json:"text,omitempty"` // of that line
	Reason  string `json:"reason"`
}

func newExplanation(file string, d trust.Decision) explanation {
	return explanation{Allowed: d.Allowed, File: file, Line: d.Line, Text: d.Text, Reason: d.Reason}
}

// sentence names the line that decides, and the reason.
func (e *explanation) sentence() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Text, e.Reason)
}

func (e *explanation) text() string {
	var text strings.Builder
	text.WriteString("allowed\n")
	writeRows(&text, []row{{"decided by", fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)}, {"because", e.Reason}})
	return text.String()
}
