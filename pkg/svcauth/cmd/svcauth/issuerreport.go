package main

import (
	"fmt"
	"maps"
	"slices"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

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
		Issuer: i.Name, Profile: i.Profile, Algorithms: i.Algorithms,
		Keys: i.Keys, KeySetURL: i.KeySetURL(), KeyIDs: kids,
		Allow: append([]string{}, i.Allow...), ActFor: append([]string{}, i.ActFor...),
		Admin: i.Admin, Sessions: i.Sessions, InsecureNoExpiry: i.InsecureNoExpiry, Warnings: warningsFor(i),
	}
}

// warningsFor returns the dangers of an entry.
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

// rows shows the entry with the names of the trust file.
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

// keyLines shows the source of the keys and, if that is a file, the keys.
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
