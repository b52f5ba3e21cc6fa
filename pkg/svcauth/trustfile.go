package svcauth

import (
	"cmp"
	"fmt"
	"slices"
)

// A TrustedIssuer is what a trust file says of one issuer.
type TrustedIssuer struct {
	// Issuer is the service's base URL.
	Issuer string
	// Profile is the form of its tokens.
	Profile Profile
	// Keys is where its keys come from, as the file has it: "discover", a URL, or the name of a file.
	Keys string
	// KeySetURL is where its keys are fetched from; empty when they are in a file.
	KeySetURL string
	// KeyIDs are the kids and algorithms of the keys in the file; empty when they are fetched.
	KeyIDs map[string]Algorithm
	// Allow and ActFor are the calls it may make and the subjects it may act for beside itself, as the file has them.
	Allow, ActFor []string
	// Algorithms are those it may use; empty for all.
	Algorithms []Algorithm
	// Admin, Sessions and InsecureNoExpiry are the file's flags.
	Admin, Sessions, InsecureNoExpiry bool
}

// ReadTrustFile reads a trust file and the key files that it names, as [NewVerifier] does, and returns what it says in
// the order of the issuers' names. Nothing is fetched. The error holds all faults, a line each with file, line and value.
func ReadTrustFile(file string) ([]TrustedIssuer, error) {
	read, err := loadTrust(file)
	if err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	issuers := make([]TrustedIssuer, 0, len(read.entries))
	for _, e := range read.entries {
		issuers = append(issuers, e.summary())
	}
	slices.SortFunc(issuers, func(a, b TrustedIssuer) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return issuers, nil
}

func (e *trustEntry) summary() TrustedIssuer {
	t := TrustedIssuer{
		Issuer: e.issuer, Profile: e.profile, Keys: e.keysFrom, KeySetURL: e.jwksURL, KeyIDs: map[string]Algorithm{},
		Algorithms: e.algorithms, Admin: e.admin, Sessions: e.sessions, InsecureNoExpiry: e.insecureNoExpiry,
	}
	for _, k := range e.keys {
		t.KeyIDs[k.id] = k.alg
	}
	for _, p := range e.allow {
		t.Allow = append(t.Allow, p.text)
	}
	for _, p := range e.actFor {
		t.ActFor = append(t.ActFor, p.text)
	}
	return t
}
