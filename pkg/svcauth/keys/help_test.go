package keys_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"example.com/micromachine/pkg/svcauth/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs a test in a bubble of synctest, in which waiting takes no time.
func inBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

func writeFile(tb testing.TB, file string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func base64URL(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// publicPEM returns the public half of a new key.
func publicPEM(tb testing.TB, alg keys.Algorithm) []byte {
	tb.Helper()
	public, err := generateKey(tb, alg).PublicPEM()
	if err != nil {
		tb.Fatal(err)
	}
	return public
}

// algorithmsOf returns the algorithm of each key by its ID.
func algorithmsOf(set keys.Set) map[string]keys.Algorithm {
	algorithms := map[string]keys.Algorithm{}
	for id, key := range set {
		algorithms[id] = key.Algorithm()
	}
	return algorithms
}

// A keySet is keys that are all published. The first one signs.
type keySet []*keys.Private

func (s keySet) SigningKey() *keys.Private      { return s[0] }
func (s keySet) PublishedKeys() []*keys.Private { return s }

// A logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
