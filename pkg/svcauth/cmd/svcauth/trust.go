package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

var trustCheckCommand = command{
	name:    "trust check",
	args:    "[--json] FILE",
	summary: "check a trust file, and say whom it trusts",
	about: `Reads a trust file and the key files that it names, as a service does, and says for each issuer what it may do and where
its keys come from, with a warning for each line that gives more away than it seems. A key, a key file or the URL of a key set
that two issuers have in common is a fault: each could pass as the other. Nothing is fetched; the service itself refuses a
fetched key that another issuer has. Faults are printed all at once, each as FILE:LINE: FAULT, and make the exit status 1.`,
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

// checkTrust reads a trust file. The error says that there are faults, the report which.
func checkTrust(file string) (trustReport, error) {
	report := trustReport{File: file, Issuers: []issuerReport{}, Faults: []string{}}
	policy, err := trust.ReadFile(file)
	if err != nil {
		report.Faults = faultsIn(err)
		if n := len(report.Faults); n > 1 {
			return report, fmt.Errorf("%d faults: the file is not to be used", n)
		}
		return report, errors.New("the file is not to be used")
	}
	issuers := policy.Issuers()
	for i := range issuers {
		report.Issuers = append(report.Issuers, newIssuerReport(&issuers[i]))
	}
	return report, nil
}

// faultsIn returns the faults that were joined in an error of [trust.ReadFile], each on one line.
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

// issuerReport is what a trust file says of one issuer.
type issuerReport struct {
	Issuer           string                    `json:"issuer"`
	Profile          trust.Profile             `json:"profile"`
	Keys             string                    `json:"keys"`
	KeySetURL        string                    `json:"key_set_url,omitempty"`
	KeyIDs           map[string]keys.Algorithm `json:"key_ids,omitempty"`
	Algorithms       []keys.Algorithm          `json:"algorithms,omitempty"`
	Allow            []string                  `json:"allow"`
	ActFor           []string                  `json:"act_for"`
	Admin            bool                      `json:"admin"`
	Sessions         bool                      `json:"sessions"`
	InsecureNoExpiry bool                      `json:"insecure_no_expiry"`
	Warnings         []string                  `json:"warnings"`
}

func newIssuerReport(i *trust.Issuer) issuerReport {
	kids := map[string]keys.Algorithm{}
	for _, key := range i.PublicKeys {
		kids[key.ID()] = key.Algorithm()
	}
	return issuerReport{
		Issuer: i.Name, Profile: i.Profile, Keys: i.Keys, KeySetURL: i.KeySetURL(), KeyIDs: kids, Algorithms: i.Algorithms,
		Allow: append([]string{}, i.Allow...), ActFor: append([]string{}, i.ActFor...),
		Admin: i.Admin, Sessions: i.Sessions, InsecureNoExpiry: i.InsecureNoExpiry, Warnings: warningsFor(i),
	}
}

// warningsFor says what is dangerous about an entry.
func warningsFor(i *trust.Issuer) []string {
	warnings := []string{}
	if i.Profile == trust.Article {
		warnings = append(warnings, "profile article: a token passes for every allowed call with the same body, "+
			"of which it has but an MD5 sum; without a jti, again and again")
	}
	if i.InsecureNoExpiry {
		warnings = append(warnings, "insecure_no_expiry: a token without exp is good for ever, for a thief too")
	}
	if i.Admin {
		warnings = append(warnings, "admin: the issuer may do all that the user it acts for may do as an administrator")
	}
	return warnings
}

// rows shows the entry in the trust file's own words.
func (r *issuerReport) rows() []row {
	rows := []row{{"profile", string(r.Profile)}}
	rows = append(rows, rowsOf("keys", r.keyLines())...)
	if len(r.Algorithms) > 0 {
		rows = append(rows, row{"algorithms", commaList(r.Algorithms)})
	}
	if len(r.Allow) == 0 {
		rows = append(rows, row{"allow", "nothing: it makes no calls of its own"})
	}
	rows = append(rows, rowsOf("allow", r.Allow)...)
	if len(r.Allow) > 0 {
		rows = append(rows, rowsOf("act_for", append([]string{"itself"}, r.ActFor...))...)
	}
	if r.Sessions {
		rows = append(rows, row{"sessions", "its own users may call, with the session tokens that it makes for them"})
	}
	return append(rows, rowsOf("WARNING", r.Warnings)...)
}

// keyLines says where the keys come from and, where that is a file, which they are.
func (r *issuerReport) keyLines() []string {
	if r.KeySetURL != "" {
		return []string{"fetched from " + r.KeySetURL}
	}
	lines := []string{r.Keys}
	for _, kid := range slices.Sorted(maps.Keys(r.KeyIDs)) {
		lines = append(lines, fmt.Sprintf("%s, for %s", kid, r.KeyIDs[kid]))
	}
	return lines
}
