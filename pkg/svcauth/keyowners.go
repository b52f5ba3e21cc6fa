package svcauth

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// keyOwners sees to it that each key in force belongs to one issuer, so that none can pass as
// another: by RFC 7638 thumbprint, whatever its kid. A key of a key file belongs to the issuer that
// the trust file names, and a fetched key to the issuer whose set had it first, as long as it has
// it. Whoever copies a key of another into its own set is refused that key, and takes it from
// nobody.
type keyOwners struct {
	mu      sync.Mutex // taken before that of any publishedKeys
	pinned  map[string]string
	fetched map[string]*publishedKeys
}

// owner returns the issuer of a key; empty where it has none. o.mu is held.
func (o *keyOwners) owner(thumbprint string) string {
	if issuer, ok := o.pinned[thumbprint]; ok {
		return issuer
	}
	if p := o.fetched[thumbprint]; p != nil {
		return p.issuer
	}
	return ""
}

// claim makes keys those of p, and the keys that p had before nobody's. It removes those that
// belong to another issuer from keys, and returns why. o.mu is held.
func (o *keyOwners) claim(p *publishedKeys, keys keyMap) (refused []string) {
	o.release(p)
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		thumbprint := keys[kid].thumbprint
		if owner := o.owner(thumbprint); owner != "" && owner != p.issuer {
			delete(keys, kid)
			refused = append(refused, foreignKey(thumbprint, owner))
			continue
		}
		if o.fetched == nil {
			o.fetched = map[string]*publishedKeys{}
		}
		o.fetched[thumbprint] = p
	}
	return refused
}

// release makes the keys of p nobody's. o.mu is held.
func (o *keyOwners) release(p *publishedKeys) {
	maps.DeleteFunc(o.fetched, func(_ string, owner *publishedKeys) bool { return owner == p })
}

// pin makes the keys of the trust file's key files those of its issuers, and takes them from the
// sets that others published. o.mu is held.
func (o *keyOwners) pin(file *trustFile) {
	o.pinned = map[string]string{}
	for issuer, entry := range file.entries {
		for _, key := range entry.keys {
			o.pinned[key.thumbprint] = issuer
			if p := o.fetched[key.thumbprint]; p != nil && p.issuer != issuer {
				delete(o.fetched, key.thumbprint)
				p.drop(key.thumbprint, foreignKey(key.thumbprint, issuer))
			}
		}
	}
}

func foreignKey(thumbprint, owner string) string {
	return fmt.Sprintf("the key %s is that of the issuer %q too, which had it first or in a file", thumbprint, owner)
}
