package trust

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/micromachine/pkg/svcauth/internal/serviceurl"
	"example.com/micromachine/pkg/svcauth/keys"
)

// maxFileBytes bounds a trust file, and each of its key files.
const maxFileBytes = 1 << 20

// A fault is a fault of a policy, with the place where it is.
type fault struct {
	where string // such as trust.yaml:3
	line  int
	err   error
}

func (f *fault) Error() string { return fmt.Sprintf("%s: %v", f.where, f.err) }
func (f *fault) Unwrap() error { return f.err }

// A builder makes a policy of issuers, and collects all their faults.
type builder struct {
	file    string // the trust file; empty if there is none
	unit    string // what lines count, where there is no file
	dir     string // of key files
	entries map[string]*Entry
	shared  *sharedKeys
	digest  hash.Hash
	faults  []*fault
}

func newBuilder(file, unit, dir string) *builder {
	return &builder{
		file: file, unit: unit, dir: dir,
		entries: map[string]*Entry{}, shared: newSharedKeys(), digest: sha256.New(),
	}
}

// policy returns the policy, or all faults in the order of their lines.
func (b *builder) policy() (*Policy, error) {
	if len(b.entries) == 0 && len(b.faults) == 0 {
		b.fault(1, "no issuers: nobody could call this service")
	}
	if len(b.faults) == 0 {
		return &Policy{entries: b.entries, digest: [sha256.Size]byte(b.digest.Sum(nil))}, nil
	}
	slices.SortStableFunc(b.faults, func(x, y *fault) int { return cmp.Compare(x.line, y.line) })
	faults := make([]error, 0, len(b.faults))
	for _, f := range b.faults {
		faults = append(faults, f)
	}
	return nil, errors.Join(faults...)
}

func (b *builder) fault(line int, format string, args ...any) {
	where := fmt.Sprintf("%s:%d", b.file, line)
	if b.file == "" {
		where = fmt.Sprintf("%s %d", b.unit, line)
	}
	b.faults = append(b.faults, &fault{where, line, fmt.Errorf(format, args...)})
}

// read reads a file and adds its content to the digest. A file that is not regular is an error, as
// reading it could block.
func (b *builder) read(file string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is not a regular file", file)
	case info.Size() > maxFileBytes:
		return nil, nil, fmt.Errorf("%s has %d bytes: at most %d are read", file, info.Size(), maxFileBytes)
	}
	data, err := os.ReadFile(file)
	fmt.Fprintf(b.digest, "%q %d ", file, len(data))
	b.digest.Write(data)
	return data, info, err
}

// add checks an issuer and adds its entry. Of an issuer that is incomplete, because some of its
// fields could not be read, only the fields that are there are checked.
func (b *builder) add(issuer *Issuer, at lines, incomplete bool) {
	e := &Entry{issuer: issuer.clone(), at: at}
	e.issuer.Profile = cmp.Or(e.issuer.Profile, Bound)
	before := len(b.faults)
	for i, alg := range issuer.Algorithms {
		if !alg.Valid() {
			b.fault(at.item(at.algs, i), "unknown algorithm %q: must be %s, %s or %s", alg, keys.EdDSA, keys.ES256, keys.RS256)
		}
	}
	for i, line := range issuer.Allow {
		pattern, err := parseCallPattern(line)
		if err != nil {
			b.fault(at.item(at.allow, i), "allow: %w", err)
		}
		e.allow = append(e.allow, pattern)
	}
	for i, line := range issuer.ActFor {
		pattern, err := parseSubjectPattern(line)
		if err != nil {
			b.fault(at.item(at.actFor, i), "act_for: %w", err)
		}
		e.actFor = append(e.actFor, pattern)
	}
	if len(b.faults) == before && !incomplete {
		b.complete(e)
	}
}

// complete checks the fields of an entry together, reads its key file, and adds the entry.
func (b *builder) complete(e *Entry) {
	i, at := &e.issuer, &e.at
	err := serviceurl.Check(i.Name)
	switch {
	case i.Name == "":
		b.fault(at.entry, "an entry without issuer")
	case err != nil:
		b.fault(at.field("issuer"), "issuer: %w", err)
	case b.entries[i.Name] != nil:
		b.fault(at.field("issuer"), "a second entry for the issuer %q", i.Name)
	case i.Profile != Bound && i.Profile != Article:
		b.fault(at.field("profile"), "unknown profile %q: must be %s or %s", i.Profile, Bound, Article)
	case i.InsecureNoExpiry && i.Profile != Article:
		b.fault(at.field("insecure_no_expiry"),
			"insecure_no_expiry is for the profile %s alone: %s tokens always expire", Article, Bound)
	case len(e.allow) == 0 && !i.Sessions:
		b.fault(at.entry, "the issuer %q is allowed nothing: neither allow nor sessions: true", i.Name)
	case len(e.allow) == 0 && (len(e.actFor) > 0 || i.Admin):
		b.fault(at.entry, "act_for and admin are for calls, and the issuer %q has no allow", i.Name)
	case i.Keys == "" && len(i.PublicKeys) == 0:
		b.fault(at.entry, "the issuer %q has no keys", i.Name)
	case i.Keys != "" && len(i.PublicKeys) > 0:
		b.fault(at.entry, "the issuer %q has both Keys and PublicKeys", i.Name)
	default:
		b.addKeys(e)
		b.entries[i.Name] = e
	}
}

// addKeys finds the keys of an entry. Keys that another entry has are a fault.
func (b *builder) addKeys(e *Entry) {
	var shared []sharing
	switch e.keySetURL = e.issuer.KeySetURL(); {
	case e.keySetURL != "":
		shared = b.addKeySet(e)
	case e.issuer.Keys != "":
		shared = b.addKeyFile(e)
	default:
		shared = b.addPublicKeys(e)
	}
	for _, s := range shared {
		b.fault(e.at.field("keys"), "keys: %s the issuer %q (%s %d) too: a key belongs to one issuer",
			s.what, s.other.issuer.Name, b.unit, s.other.at.field("keys"))
	}
}

func (b *builder) addKeySet(e *Entry) []sharing {
	canonical, err := canonicalURL(e.keySetURL)
	if err != nil {
		b.fault(e.at.field("keys"), "keys: %q is %w", e.keySetURL, err)
		return nil
	}
	return b.shared.addKeySet(e, canonical)
}

func (b *builder) addKeyFile(e *Entry) []sharing {
	line, name := e.at.field("keys"), e.issuer.Keys
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.dir, path)
	}
	data, info, err := b.read(path)
	if err != nil {
		b.fault(line, "keys: %w", err)
		return nil
	}
	if e.keys, err = keys.ParseSet(data); err != nil {
		b.fault(line, "keys: %s: %w", name, err)
		return nil
	}
	for _, k := range e.keys {
		e.issuer.PublicKeys = append(e.issuer.PublicKeys, k)
	}
	slices.SortFunc(e.issuer.PublicKeys, func(x, y keys.Public) int { return strings.Compare(x.ID(), y.ID()) })
	b.checkAlgorithms(e, name+": ")
	return b.shared.addKeyFile(e, info)
}

func (b *builder) addPublicKeys(e *Entry) []sharing {
	e.keys = keys.Set{}
	for _, k := range e.issuer.PublicKeys {
		if err := e.keys.Add(k); err != nil {
			b.fault(e.at.entry, "keys: %w", err)
		}
	}
	b.checkAlgorithms(e, "")
	return b.shared.addKeys(e, "")
}

func (b *builder) checkAlgorithms(e *Entry, prefix string) {
	for _, k := range e.issuer.PublicKeys {
		if !e.AllowsAlgorithm(k.Algorithm()) {
			b.fault(e.at.field("keys"), "keys: %sa key for %s, which algorithms leaves out", prefix, k.Algorithm())
		}
	}
}
