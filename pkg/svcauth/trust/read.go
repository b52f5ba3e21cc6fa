package trust

import (
	"fmt"
	"path/filepath"
)

// ReadFile reads a trust file and the key files that it names. Nothing is fetched. The error joins
// all faults of the file, each with file, line and value.
func ReadFile(file string) (*Policy, error) {
	b := newBuilder(file, "line", filepath.Dir(file))
	data, _, err := b.read(file)
	if err != nil {
		return nil, fmt.Errorf("reading trust file: %w", err)
	}
	yamlReader{b}.document(data)
	return b.policy()
}

// Parse reads the text of a trust file, as [ReadFile] does. The names of key files are relative to
// dir.
func Parse(data []byte, dir string) (*Policy, error) {
	b := newBuilder("", "line", dir)
	b.digest.Write(data)
	yamlReader{b}.document(data)
	return b.policy()
}

// New makes a policy of issuers, with the checks of [ReadFile]. Its errors name the number of the
// entry, from 1 on. The names of key files are relative to the working directory.
func New(issuers ...Issuer) (*Policy, error) {
	b := newBuilder("", "entry", "")
	for i := range issuers {
		b.add(&issuers[i], lines{entry: i + 1}, false)
	}
	return b.policy()
}
