package svcauth

import (
	"maps"
	"os"
	"slices"
)

// sharedKeys finds the keys, key files and key sets that two entries of a trust file name. Each
// issuer could pass as the other.
type sharedKeys struct {
	files []keyFile
	urls  map[string]*trustEntry // by canonicalURL
	keys  map[string]*trustEntry // by thumbprint
}

// A keyFile is a key file that an entry names.
type keyFile struct {
	info  os.FileInfo
	entry *trustEntry
}

func newSharedKeys() *sharedKeys {
	return &sharedKeys{urls: map[string]*trustEntry{}, keys: map[string]*trustEntry{}}
}

// keySet notes the key set that an entry names. It is a fault if it is another entry's.
func (s *sharedKeys) keySet(r *trustReader, e *trustEntry, canonical string) {
	if other := s.urls[canonical]; other != nil {
		r.shared(e, other, e.jwksURL+" is the key set of")
		return
	}
	s.urls[canonical] = e
}

// keyFile notes the key file that an entry names and its keys. Those of another entry are faults.
func (s *sharedKeys) keyFile(r *trustReader, e *trustEntry, info os.FileInfo) {
	i := slices.IndexFunc(s.files, func(f keyFile) bool { return os.SameFile(f.info, info) })
	if i >= 0 {
		r.shared(e, s.files[i].entry, e.keysFrom+" is the key file of")
		return
	}
	s.files = append(s.files, keyFile{info, e})
	for _, kid := range slices.Sorted(maps.Keys(e.keys)) {
		thumbprint := e.keys[kid].thumbprint
		if other := s.keys[thumbprint]; other != nil && other != e {
			r.shared(e, other, e.keysFrom+": the key "+thumbprint+" is that of")
			continue
		}
		s.keys[thumbprint] = e
	}
}

// shared notes that an entry's keys are another's.
func (r *trustReader) shared(e, other *trustEntry, what string) {
	r.fault(e.lines["keys"], "keys: %s the issuer %q (line %d) too: a key belongs to one issuer",
		what, other.issuer, other.lines["keys"])
}
