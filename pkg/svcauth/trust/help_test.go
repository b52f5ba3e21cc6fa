package trust_test

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"example.com/micromachine/pkg/svcauth/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func writeFile(tb testing.TB, file string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func generateKey(tb testing.TB, alg keys.Algorithm) *keys.Private {
	tb.Helper()
	key, err := keys.Generate(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// publicPEM returns the public half of a new key.
func publicPEM(tb testing.TB, alg keys.Algorithm) []byte {
	tb.Helper()
	public, err := generateKey(tb, alg).PublicPEM()
	if err != nil {
		tb.Fatal(err)
	}
	return public
}

// swap replaces old in text.
func swap(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("no %q in %q", old, text)
	}
	return strings.ReplaceAll(text, old, replacement)
}
