package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"example.com/micromachine/pkg/svcauth/keys"
)

// rotateReport is what rotate --json prints.
type rotateReport struct {
	Added   string       `json:"added,omitempty"` // the kid of a new key
	Removed []string     `json:"removed"`         // the kids of keys whose files were deleted
	Keys    []rotatedKey `json:"keys"`            // in the order in which they sign
	JWKS    string       `json:"jwks,omitempty"`
}

// A rotatedKey is a key in the directory.
type rotatedKey struct {
	ID    string     `json:"kid"`
	State string     `json:"state"` // retiring, signing or next
	From  *time.Time `json:"from,omitempty"`
	File  string     `json:"file,omitempty"`
}

func newRotateReport(dir string, done *keys.Rotation, jwks string) *rotateReport {
	report := &rotateReport{Removed: append([]string{}, done.Removed...), JWKS: jwks}
	if done.Added {
		report.Added = cmp.Or(done.Next, done.Signing)
	}
	files := keyFiles(dir)
	for _, kid := range done.Retiring {
		report.Keys = append(report.Keys, rotatedKey{ID: kid, State: "retiring", File: files[kid]})
	}
	report.Keys = append(report.Keys, rotatedKey{ID: done.Signing, State: "signing", File: files[done.Signing]})
	if done.Next != "" {
		next := rotatedKey{ID: done.Next, State: "next", From: &done.NextFrom, File: files[done.Next]}
		report.Keys = append(report.Keys, next)
	}
	return report
}

// keyFiles returns the files of a key directory by kid. Files that were deleted meanwhile are
// missing.
func keyFiles(dir string) map[string]string {
	files := map[string]string{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.pem")) // Rotate has just read the directory
	for _, name := range names {
		if key, err := keys.Load(name); err == nil {
			files[key.ID()] = name
		}
	}
	return files
}

func (r *rotateReport) text(now time.Time) string {
	var text strings.Builder
	switch {
	case r.Added != "" && len(r.Keys) == 1:
		fmt.Fprintf(&text, "made the key %s, which signs at once\n", r.Added)
	case r.Added != "":
		fmt.Fprintf(&text, "made the key %s, which signs next\n", r.Added)
	}
	for _, kid := range r.Removed {
		fmt.Fprintf(&text, "deleted the key %s, which had retired\n", kid)
	}
	if r.Added == "" && len(r.Removed) == 0 {
		text.WriteString("nothing to do\n")
	}
	if r.JWKS != "" {
		fmt.Fprintf(&text, "wrote the public keys to %s\n", r.JWKS)
	}
	text.WriteString("\n")
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, k := range r.Keys {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", k.ID, k.text(now), k.File)
	}
	_ = table.Flush() // a strings.Builder returns no errors
	return text.String()
}

// text returns the state of the key in words.
func (k rotatedKey) text(now time.Time) string {
	switch k.State {
	case "signing":
		return "signs now"
	case "next":
		return "signs next, from " + instantOf(k.From.Unix(), now.Unix()).String()
	default:
		return "no longer signs, and is still published"
	}
}
