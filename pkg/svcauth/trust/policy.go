package trust

import (
	"crypto/sha256"
	"slices"
)

// A Policy is all that a trust file says. It never changes, and is safe for concurrent use.
type Policy struct {
	entries map[string]*Entry // by the issuer's name
	digest  [sha256.Size]byte // of all the bytes read
}

// Entry returns the entry of an issuer; nil if the policy does not name the issuer.
func (p *Policy) Entry(issuer string) *Entry { return p.entries[issuer] }

// Issuers returns what the policy says of each issuer, sorted by name.
func (p *Policy) Issuers() []Issuer {
	names := p.names()
	issuers := make([]Issuer, 0, len(names))
	for _, name := range names {
		issuers = append(issuers, p.entries[name].issuer.clone())
	}
	return issuers
}

// Entries returns the entries, sorted by the issuer's name.
func (p *Policy) Entries() []*Entry {
	names := p.names()
	entries := make([]*Entry, 0, len(names))
	for _, name := range names {
		entries = append(entries, p.entries[name])
	}
	return entries
}

func (p *Policy) names() []string {
	names := make([]string, 0, len(p.entries))
	for name := range p.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
