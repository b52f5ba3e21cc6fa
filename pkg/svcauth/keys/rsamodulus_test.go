package keys_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// Moduli of keys that crypto/rsa made.
const (
	modulus2048 = "b151e4d65f5655622aa51255629ed803a2ad938fce8bac5ea78c6af4ec6a8f7b0b8ed2a2d9f49c047ab4e89e5d77c5c3633d" +
		"3ced138dd12cf4fc7ae9ed492e71c610c019042f9953177e52f9b75247cc5d3ab63449ac53f63ecfeef02f2ed51bc1662b83" +
		"759e39a8cb78576e8390e97771ed8edce41f79aa273ce147da967660dbe54227ad4345117c1849efffd6068077113b75d83e" +
		"f75b5d8ef000a28a5cfacae48c87091f07bed295c9688983eedd6ecc5a47ff6841ec854a71d23bb6816eadfde6597ad09542" +
		"3f3cf9deb4b38a8faa41f77dd61e19037ce6ca6de0cbb3c8412795ceebf531ec902d61e079c2bc77175cfd479ab75ae7cb8e" +
		"06cbcc6ba615"
	modulus4096 = "d73eb96357ca48d910a239c7c112f8ba65ecfffb8a10239d3bbbc7bb366eb81148e55b2a77cc8035e39137007799f136f96e" +
		"cb8bff6a60e078bae30256c88dafcac38c1a0e521058b8445de615551831d0c19552d8f02aa6f2d485899f33f1e10e0c18b8" +
		"356a55066d59d983dc4347d78576838ed2493f12acdeadb6fb29d4157df8613defc0a07a8001f06475eaa3af6f9bfe9fe2e8" +
		"85c02cc3ff8d2619e7673370e28ae95fa1c26a0692835b8ac7f5c37f4a9cf1d9bb22e8d463f4b160504c52f4daf3b7cc67b4" +
		"fb65b34fffa475ffb526f629358e098268ec8a60f80589da0c55c62ac9ae993745c89c32aba4fd7252c39da804830e2acfb1" +
		"b3b594311789a1b52d54319f69b3a9208888b8fd6795272d2f32fc22d556c52cda40f90e14f0ed40d0924abc5bf36720ae00" +
		"a9ea4aeae4d756692694f874b85707efe1acd272461627fee9696c3f1cf3f37344183d8f8cd30dad5ed3b056384f68357c4c" +
		"c358d309cf9d43a62a4f5d892e80edc990b90c0e7752c4b7042e607bbbc95ab0c7902416e7183f3bd823b8178171df55a61a" +
		"7769df393aa5538a45e29024fbe8d560ab35afb58a506bb38ad5786a592d982698e4b72613c2eafa7a1dfe4509179cc06b60" +
		"35f3aaca34a44741233e4dd9399ed141df186434b3e361d96f672fd08ece311faf07527495ab369dac0d850b29b9edbe9bb5" +
		"b61c0b7eaba81c8fbf6be367"
)

func modulus(tb testing.TB, hex string) *big.Int {
	tb.Helper()
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		tb.Fatalf("bad modulus %s", hex)
	}
	return n
}

// randomPrime returns a prime of that many bits, the two highest of which are set.
func randomPrime(tb testing.TB, bits int) *big.Int {
	tb.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// mersenne returns 2^n - 1, which is a prime for 1279 and 2203.
func mersenne(n uint) *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), n)
	return p.Sub(p, big.NewInt(1))
}

// nextPrime returns the least prime over n.
func nextPrime(n *big.Int) *big.Int {
	p := new(big.Int).Add(n, big.NewInt(1))
	for !p.ProbablyPrime(10) {
		p.Add(p, big.NewInt(1))
	}
	return p
}

// weakModuli returns moduli of 2048 bits or more that are easy to factor, by the text of the error
// that each causes.
func weakModuli(tb testing.TB) map[string][]*big.Int {
	tb.Helper()
	p, q, near := mersenne(1279), mersenne(2203), randomPrime(tb, 1024)
	product := func(factors ...*big.Int) *big.Int {
		n := big.NewInt(1)
		for _, f := range factors {
			n.Mul(n, f)
		}
		return n
	}
	return map[string][]*big.Int{
		"is even": {
			new(big.Int).Sub(modulus(tb, modulus2048), big.NewInt(1)), new(big.Int).Lsh(big.NewInt(1), 2047), product(q, big.NewInt(2)),
		},
		"has a small factor": {
			product(p, q, big.NewInt(3)), product(p, q, big.NewInt(11)), product(p, q, big.NewInt(751)), product(q, big.NewInt(65521)),
			new(big.Int).Exp(big.NewInt(3), big.NewInt(1292), nil),
		},
		"is a prime or a power of one":        {q, product(p, p), product(p, p, p)},
		"has two factors close to each other": {product(near, nextPrime(near))},
	}
}

// A modulus that a cheap test can factor is refused, in PEM and in a JWK Set.
func TestWeakModuli(t *testing.T) {
	t.Parallel()
	for want, moduli := range weakModuli(t) {
		for _, n := range moduli {
			if err := loadModulus(t, n); err == nil || !strings.Contains(err.Error(), "RSA key whose modulus "+want) {
				t.Errorf("PEM with %x…: error %v, want %q", n.Bytes()[:8], err, want)
			}
			set := `{"keys":[{` + goodX + `,"kid":"good"},` + rsaJWK(n) + `]}`
			got, skipped, err := keys.ParseJWKS([]byte(set))
			if err != nil || len(got) != 1 || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), want) {
				t.Errorf("JWK with %x…: keys %v, skipped %v, %v; want %q", n.Bytes()[:8], got, skipped, err, want)
			}
		}
	}
	for _, hex := range []string{modulus2048, modulus4096} {
		if err := loadModulus(t, modulus(t, hex)); err != nil {
			t.Error(err)
		}
	}
}

// loadModulus reads a trust file with one key, whose modulus is n.
func loadModulus(t *testing.T, n *big.Int) error {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "key.pem"), block("PUBLIC KEY", der))
	file := filepath.Join(dir, "trust.yaml")
	writeFile(t, file, []byte("issuers: [{issuer: https://herald.service/, keys: key.pem, allow: [GET /]}]"))
	_, err = trust.ReadFile(file)
	return err
}

func rsaJWK(n *big.Int) string {
	return `{"kty":"RSA","e":"AQAB","n":"` + base64URL(n.Bytes()) + `"}`
}

// A set with many RSA keys is parsed quickly: after 32 RSA keys the others are skipped.
func TestManyRSAKeys(t *testing.T) {
	t.Parallel()
	set := `{"keys":[{` + goodX + `}`
	for i := range int64(99) {
		n := new(big.Int).Add(modulus(t, modulus4096), big.NewInt(2*i))
		set += "," + rsaJWK(n)
	}
	_, skipped, err := keys.ParseJWKS([]byte(set + "]}"))
	if err != nil || len(skipped) < 99-32 {
		t.Fatalf("%d skipped, %v", len(skipped), err)
	}
	if last := skipped[len(skipped)-1].Error(); !strings.Contains(last, "more than 32 RSA keys") {
		t.Errorf("skipped: %s", last)
	}
}
