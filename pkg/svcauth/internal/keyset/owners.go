package keyset

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"example.com/micromachine/pkg/svcauth/keys"
)

// owners records which issuer each key in force belongs to, by RFC 7638 thumbprint, whatever its
// kid. So no issuer can sign for another. A key of a key file belongs to the issuer that the trust
// file names. A fetched key belongs to the issuer whose set had it first, as long as that set has
// it. An issuer that copies another's key into its own set does not get it.
type owners struct {
	mu      sync.Mutex // locked before that of any Set
	pinned  map[string]string
	fetched map[string]*owner
}

// An owner is an issuer whose keys are fetched.
type owner struct {
	issuer string
	drop   func(thumbprint, reason string) // removes a key from the issuer's set
}

// issuerOf returns the issuer of a key; empty if there is none. o.mu is held.
func (o *owners) issuerOf(thumbprint string) string {
	if issuer, ok := o.pinned[thumbprint]; ok {
		return issuer
	}
	if owner := o.fetched[thumbprint]; owner != nil {
		return owner.issuer
	}
	return ""
}

// claim makes p the owner of fetched keys, and of no others. It removes keys that belong to another
// issuer from the set, and returns the reasons. o.mu is held.
func (o *owners) claim(p *owner, set keys.Set) (refused []string) {
	o.release(p)
	for _, kid := range slices.Sorted(maps.Keys(set)) {
		thumbprint := set[kid].Thumbprint()
		if issuer := o.issuerOf(thumbprint); issuer != "" && issuer != p.issuer {
			delete(set, kid)
			refused = append(refused, foreignKey(thumbprint, issuer))
			continue
		}
		if o.fetched == nil {
			o.fetched = map[string]*owner{}
		}
		o.fetched[thumbprint] = p
	}
	return refused
}

// release makes p the owner of no key. o.mu is held.
func (o *owners) release(p *owner) {
	maps.DeleteFunc(o.fetched, func(_ string, owner *owner) bool { return owner == p })
}

// pin sets the issuers of the keys of key files, by thumbprint, and removes these keys from the
// sets that other issuers published. o.mu is held.
func (o *owners) pin(pinned map[string]string) {
	o.pinned = pinned
	for thumbprint, issuer := range pinned {
		if p := o.fetched[thumbprint]; p != nil && p.issuer != issuer {
			delete(o.fetched, thumbprint)
			p.drop(thumbprint, foreignKey(thumbprint, issuer))
		}
	}
}

func foreignKey(thumbprint, issuer string) string {
	return fmt.Sprintf("the key %s is that of the issuer %q too, which had it first or in a file", thumbprint, issuer)
}
