package svcauth_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// costlyClaims returns claims of about 6 KB by name, the most that a token can hold. Each is made
// to take as much time or memory to read as possible. The trust file names none of their issuers.
func costlyClaims() map[string]string {
	const size = 5900
	fill := func(text string) string { return strings.Repeat(text, size/len(text)) }
	list := func(item string) string { return strings.TrimSuffix(fill(item+","), ",") }
	members := func(n int, name, value string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(name, i)+":"+value)
		}
		return strings.Join(all, ",")
	}
	objects := map[string]string{
		"empty string":                `""`,
		"one-member objects":          `[` + list(`{"":0}`) + `]`,
		"nested objects":              `[` + list(`{"":{"":{"":{"":{"":0}}}}}`) + `]`,
		"nested objects and lists":    `[` + list(`{"":[{"":[{"":0}]}]}`) + `]`,
		"empty objects":               `[` + list(`{}`) + `]`,
		"empty lists":                 `[` + list(`[]`) + `]`,
		"nested lists":                `[` + list(`[[[[[]]]]]`) + `]`,
		"numbers":                     `[` + list(`0`) + `]`,
		"numbers with exponents":      `[` + list(`-0.0e-0`) + `]`,
		"one long number":             fill("1"),
		"literals":                    `[` + list(`true`) + `]`,
		"empty strings":               `[` + list(`""`) + `]`,
		"one-letter strings":          `[` + list(`"a"`) + `]`,
		"escaped strings":             `[` + list(`"\n"`) + `]`,
		"one long string":             `"` + fill("a") + `"`,
		"one string of escapes":       `"` + fill(`\n`) + `"`,
		"one string of hex escapes":   `"` + fill(`\u0000`) + `"`,
		"one string of surrogates":    `"` + fill(`\ud83d\ude00`) + `"`,
		"one string of 2-byte runes":  `"` + fill("é") + `"`,
		"one string of 4-byte runes":  `"` + fill("😀") + `"`,
		"white space":                 `[` + fill(" ") + `]`,
		"escapes, then a fault":       `"` + fill(`\n`) + `\x"`,
		"64 names in one object":      `{` + members(64, `"%086d"`, `0`) + `}`,
		"64 names many times":         `[{` + strings.Join(copiesOf(12, members(63, `"%02d"`, `0`)), `},{`) + `}]`,
		"64 escaped names many times": `[{` + strings.Join(copiesOf(7, members(63, `"\u00e9%02d"`, `0`)), `},{`) + `}]`,
		"32 names many times":         `[{` + strings.Join(copiesOf(24, members(31, `"%02d"`, `0`)), `},{`) + `}]`,
		"names as long as each other": `{` + members(50, `"`+strings.Repeat("a", 110)+`%02d"`, `0`) + `}`,
		"one long name twice":         `{"` + fill("a")[:2900] + `":0,"` + fill("a")[:2900] + `":0}`,
		"one long name with escapes":  `{"` + fill(`\n`) + `":0}`,
	}
	claims := map[string]string{
		"long issuer":               `{"iss":"` + fill("a") + `"}`,
		"issuer of escapes":         `{"iss":"` + fill(`\n`) + `"}`,
		"many claims":               `{"iss":"x",` + members(60, `"%086d"`, `0`) + `}`,
		"many claims with escapes":  `{"iss":"x",` + members(60, `"\n%02d"`, `"`+strings.Repeat(`\n`, 40)+`"`) + `}`,
		"many names like a claim's": `{"iss":"x",` + members(62, `"is%02d"`, `"\n"`) + `}`,
	}
	for name, value := range objects {
		claims[name] = `{"iss":"https://evil.service/","x":` + value + `}`
	}
	return claims
}

func copiesOf(n int, text string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = text
	}
	return all
}

// A refusedCall is a request whose token is refused, and the verifier that refuses it.
type refusedCall struct {
	verifier *svcauth.Verifier
	req      *http.Request
}

func (r refusedCall) verify() { _, _ = r.verifier.Verify(r.req, 0) }

// refusedCalls returns calls with the costly tokens by name, and one with a small token whose
// signature is forged.
func refusedCalls(tb testing.TB) (costly map[string]refusedCall, forged refusedCall) {
	tb.Helper()
	w := &world{now: time.Now(), herald: newForger(tb, keys.EdDSA)}
	other := newForger(tb, keys.EdDSA)
	for _, f := range []**forger{&w.shopRSA, &w.shopEC, &w.shopEd, &w.another, &w.pairA, &w.noExpiry, &w.login} {
		*f = newForger(tb, keys.EdDSA)
	}
	w.pairB = other
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: census, TrustFile: w.trustFile(tb), InsecureAllowReplay: true, Logger: slog.New(slog.DiscardHandler),
		HTTPClient: &http.Client{Transport: &network{answer: down}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(verifier.Close)
	of := func(token string) refusedCall {
		req := httptest.NewRequest(http.MethodGet, readPath, nil)
		req.Header.Set(svcauth.Header, token)
		return refusedCall{verifier, req}
	}
	costly = map[string]refusedCall{}
	header := base64URL([]byte(`{"alg":"EdDSA","kid":"x","typ":"svcauth+jwt"}`))
	for name, claims := range costlyClaims() {
		token := header + "." + base64URL([]byte(claims)) + "." + strings.Repeat("A", 86)
		if len(token) > 8<<10 {
			tb.Fatalf("%s: a token of %d bytes", name, len(token))
		}
		costly[name] = of(token)
	}
	for name, h := range map[string]string{
		"header of escapes": `{"alg":"` + strings.Repeat(`\n`, 2900) + `"}`,
		"long header name":  `{"` + strings.Repeat(`\n`, 2900) + `":""}`,
		"many header names": `{"x":[` + strings.TrimSuffix(strings.Repeat(`{"":0},`, 800), ",") + `]}`,
	} {
		costly[name] = of(base64URL([]byte(h)) + ".e30.AAAA")
	}
	costly["dots"] = of(strings.Repeat(".", 8<<10))
	costly["bad base64 at the end"] = of(header + "." + strings.Repeat("A", 7000) + "." + strings.Repeat("A", 85))
	c := boundRead(tb, w)
	c.signer = other
	c.sign()
	forged = of(c.token)
	_, err = verifier.Verify(forged.req, 0)
	if refusal, ok := errors.AsType[*svcauth.Refusal](err); !ok || refusal.Check != svcauth.CheckSignature {
		tb.Fatalf("forged signature: %v", err)
	}
	return costly, forged
}

// Whatever a token holds, reading it allocates less than 64 KB.
func TestReadingAllocatesLittle(t *testing.T) {
	costly, _ := refusedCalls(t)
	for name, r := range costly {
		if bytes := allocated(r.verify); bytes >= 64<<10 {
			t.Errorf("%s: %d bytes allocated", name, bytes)
		}
	}
}

// allocated returns the least number of bytes that f allocates in several runs.
func allocated(f func()) uint64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f()
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// Whatever a token holds, refusing it takes at most 1.5 times as long as refusing a small token
// with a forged signature. Both are timed alternately and many times. The shortest times are
// compared, because other load on the machine affects them least.
func TestReadingTakesLittleTime(t *testing.T) {
	costly, forged := refusedCalls(t)
	base := time.Duration(math.MaxInt64)
	least := map[string]time.Duration{}
	for range 100 {
		base = min(base, timeOf(forged.verify))
		for name, r := range costly {
			took := timeOf(r.verify)
			if before, ok := least[name]; !ok || took < before {
				least[name] = took
			}
		}
	}
	for name, took := range least {
		if ratio := float64(took) / float64(base); ratio > 1.5 {
			t.Errorf("%s: %v, %.2f times a forged signature, %v", name, took, ratio, base)
		}
	}
}

func timeOf(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
