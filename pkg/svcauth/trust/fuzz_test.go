package trust_test

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/trust"
)

// No trust file makes the parser panic, and each error names the file.
func FuzzTrustFile(f *testing.F) {
	f.Add([]byte(goodTrust))
	for _, seed := range []string{
		"", "---", "issuers:", "issuers: [{}]", "issuers: [&a {issuer: *a}]", "? [a]\n: b", "!!binary aXNzdWVycw==: x", "a: !!bool {}",
		"issuers: [{issuer: https://a/, allow: [GET /*], keys: discover}]", "%YAML 1.1\n---\n", "issuers:\n- *x", "\t", "\xff\xfe",
		"issuers: [{issuer: https://a/, act_for: ['https://[::1]/*'], keys: 'https://%zz/'}]",
	} {
		f.Add([]byte(seed))
	}
	file := filepath.Join(f.TempDir(), "trust.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("/dev/")) || bytes.Contains(data, []byte("/proc/")) {
			return // these key files may be endless
		}
		writeFile(t, file, data)
		_, err := trust.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), file) {
			t.Errorf("error %q does not name the file", err)
		}
	})
}
