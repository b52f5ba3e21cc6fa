package trust

import (
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth/keys"
)

// A Profile is a form of service token. A trust entry names one, so that a receiver never guesses.
type Profile string

const (
	// Bound tokens are tied to one request: its method, URL and body. It is the default.
	Bound Profile = "bound"
	// Article tokens are what the article "Why we use JWT instead of oAuth to secure microservice
	// communication" prints: an MD5 sum covers the body, and nothing covers method and URL.
	Article Profile = "article"
)

// discover is the value of an issuer's Keys for the key set at its well-known URL.
const discover = "discover"

// An Issuer is what a trust file says of one issuer. The field's names in the file are in brackets.
type Issuer struct {
	// Name is the service's base URL [issuer]. Required.
	Name string
	// Profile is the form of its tokens [profile]. The default is [Bound].
	Profile Profile
	// Keys is the source of its keys [keys]: "discover" for its well-known URL, the URL of a JWK
	// Set, or the name of a file with PEM public keys or a JWK Set.
	Keys string
	// PublicKeys are the keys of the file that Keys names, sorted by ID. An Issuer made in Go can
	// have them in the place of Keys.
	PublicKeys []keys.Public
	// Algorithms are the algorithms that it may use [algorithms]. None stands for all.
	Algorithms []keys.Algorithm
	// Allow are the calls that it may make, such as "GET /user/*" [allow].
	Allow []string
	// ActFor are the subjects that it may act for, besides itself, such as
	// "https://census.service/user/*" [act_for].
	ActFor []string
	// Admin lets it use its subjects' administrative power [admin].
	Admin bool
	// Sessions says that it issues session tokens to its own users [sessions].
	Sessions bool
	// InsecureNoExpiry accepts its article tokens without exp [insecure_no_expiry].
	InsecureNoExpiry bool
}

// KeySetURL returns the URL from which the issuer's keys are fetched; empty if they are not
// fetched.
func (i *Issuer) KeySetURL() string {
	switch {
	case i.Keys == discover:
		return i.Name + keys.JWKSPath
	case strings.Contains(i.Keys, "://"):
		return i.Keys
	default:
		return ""
	}
}

// clone returns a copy that shares no slice with i.
func (i *Issuer) clone() Issuer {
	c := *i
	c.PublicKeys, c.Algorithms = slices.Clone(i.PublicKeys), slices.Clone(i.Algorithms)
	c.Allow, c.ActFor = slices.Clone(i.Allow), slices.Clone(i.ActFor)
	return c
}
