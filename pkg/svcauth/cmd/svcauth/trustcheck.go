package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"example.com/micromachine/pkg/svcauth/trust"
)

var trustCheckCommand = command{
	name:    "trust check",
	args:    "[--json] FILE",
	summary: "check a trust file, and show whom it trusts",
	about: `Reads a trust file and the key files that it names, as a service does, and shows what each issuer may
do and the source of its keys, with warnings for dangerous lines. A key, a key file or the URL of a
key set that two issuers share is a fault, because each issuer could make the other's tokens. Nothing
is fetched; the service itself rejects a fetched key that belongs to another issuer. All faults are
printed, each as FILE:LINE: FAULT, and make the exit status 1.`,
	examples: []string{
		"svcauth trust check trust.yaml",
		"svcauth trust check --json trust.yaml | jq -r '.issuers[].issuer'",
	},
	define: defineTrustCheck,
}

func defineTrustCheck(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "print the issuers and the faults as JSON")
	return func(_ context.Context, std stdio, args []string) error {
		if len(args) != 1 {
			return usagef("exactly one FILE is wanted, not %d", len(args))
		}
		report, err := checkTrust(args[0])
		if *asJSON {
			return errors.Join(err, std.json(report))
		}
		for _, fault := range report.Faults {
			fmt.Fprintln(std.err, fault)
		}
		if err != nil {
			return err
		}
		_, err = io.WriteString(std.out, report.text())
		return err
	}
}

// trustReport is what trust check --json prints.
type trustReport struct {
	File    string         `json:"file"`
	Issuers []issuerReport `json:"issuers"` // empty when there are faults
	Faults  []string       `json:"faults"`
}

// checkTrust reads a trust file. If it has faults, the report lists them and the error counts them.
func checkTrust(file string) (trustReport, error) {
	report := trustReport{File: file, Issuers: []issuerReport{}, Faults: []string{}}
	policy, err := trust.ReadFile(file)
	if err != nil {
		report.Faults = faultsIn(err)
		if n := len(report.Faults); n > 1 {
			return report, fmt.Errorf("%d faults: a service rejects the file", n)
		}
		return report, errors.New("a service rejects the file")
	}
	issuers := policy.Issuers()
	for i := range issuers {
		report.Issuers = append(report.Issuers, newIssuerReport(&issuers[i]))
	}
	return report, nil
}

// faultsIn returns the faults that are joined in an error of [trust.ReadFile], each on one line.
func faultsIn(err error) []string {
	faults := []error{err}
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		faults = joined.Unwrap()
	}
	lines := make([]string, 0, len(faults))
	for _, fault := range faults {
		lines = append(lines, oneLine(fault))
	}
	return lines
}

func (r *trustReport) text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s is good. It trusts %s.\n", r.File, count(len(r.Issuers), "issuer"))
	for i := range r.Issuers {
		fmt.Fprintf(&text, "\n%s\n", r.Issuers[i].Issuer)
		writeRows(&text, r.Issuers[i].rows())
	}
	return text.String()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
