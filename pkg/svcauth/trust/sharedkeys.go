package trust

import (
	"fmt"
	"maps"
	"os"
	"slices"
)

// sharedKeys finds the keys, key files and key sets that two entries of a policy have in common.
// Each of the two issuers could pass as the other.
type sharedKeys struct {
	files []keyFile
	urls  map[string]*Entry // by canonicalURL
	keys  map[string]*Entry // by thumbprint
}

// A keyFile is a key file that an entry names.
type keyFile struct {
	info  os.FileInfo
	entry *Entry
}

// A sharing says what an entry has in common with another.
type sharing struct {
	what  string
	other *Entry
}

func newSharedKeys() *sharedKeys {
	return &sharedKeys{urls: map[string]*Entry{}, keys: map[string]*Entry{}}
}

// addKeySet notes the key set that an entry names, and returns what is shared.
func (s *sharedKeys) addKeySet(e *Entry, canonical string) []sharing {
	if other := s.urls[canonical]; other != nil {
		return []sharing{{e.keySetURL + " is the key set of", other}}
	}
	s.urls[canonical] = e
	return nil
}

// addKeyFile notes the key file that an entry names and its keys, and returns what is shared.
func (s *sharedKeys) addKeyFile(e *Entry, info os.FileInfo) []sharing {
	i := slices.IndexFunc(s.files, func(f keyFile) bool { return os.SameFile(f.info, info) })
	if i >= 0 {
		return []sharing{{e.issuer.Keys + " is the key file of", s.files[i].entry}}
	}
	s.files = append(s.files, keyFile{info, e})
	return s.addKeys(e, e.issuer.Keys+": ")
}

// addKeys notes the keys of an entry, and returns those that are shared, each after prefix.
func (s *sharedKeys) addKeys(e *Entry, prefix string) (shared []sharing) {
	for _, kid := range slices.Sorted(maps.Keys(e.keys)) {
		thumbprint := e.keys[kid].Thumbprint()
		if other := s.keys[thumbprint]; other != nil && other != e {
			shared = append(shared, sharing{fmt.Sprintf("%sthe key %s is that of", prefix, thumbprint), other})
			continue
		}
		s.keys[thumbprint] = e
	}
	return shared
}
