package trust

import (
	"crypto/sha256"
	"maps"
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
	issuers := make([]Issuer, 0, len(p.entries))
	for _, name := range slices.Sorted(maps.Keys(p.entries)) {
		issuers = append(issuers, p.entries[name].issuer.clone())
	}
	return issuers
}

// Entries returns the entries, sorted by the issuer's name.
func (p *Policy) Entries() []*Entry {
	entries := make([]*Entry, 0, len(p.entries))
	for _, name := range slices.Sorted(maps.Keys(p.entries)) {
		entries = append(entries, p.entries[name])
	}
	return entries
}
