package svcauth_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
)

// ReadUnverified finds a fault in each token that a verifier cannot read, and none in the valid
// token that it was made from.
func TestReadUnverified(t *testing.T) {
	w := newWorld(t)
	for _, a := range attacks() {
		control, c := a.valid(t, w), a.valid(t, w)
		control.sign()
		read, err := svcauth.ReadUnverified(control.token, w.now)
		if err != nil || len(read.Faults) > 0 || read.Kind == "" {
			t.Errorf("%s: of the token without the attack: %+v, %v", a.name, read, err)
		}
		if a.check != svcauth.CheckEncoding && a.check != svcauth.CheckJSON {
			continue
		}
		a.change(c)
		c.sign()
		if read, err := svcauth.ReadUnverified(c.token, w.now); err == nil && len(read.Faults) == 0 {
			t.Errorf("%s: no fault", a.name)
		}
	}
}

// The header and the claims of a token with faults can be read.
func TestReadUnverifiedFaults(t *testing.T) {
	t.Parallel()
	const header = `{"alg":"none","typ":"x"}`
	const claims = `{"exp":1700000000,"sub":"a","sub":"b"}`
	read, err := svcauth.ReadUnverified(base64URL([]byte(header))+"."+base64URL([]byte(claims))+".", time.Unix(1700000060, 0))
	if err != nil {
		t.Fatal(err)
	}
	if string(read.Header) != header || string(read.Claims) != claims || read.Kind != "" {
		t.Errorf("%+v", read)
	}
	const want = `[claims: duplicate name "sub" header: unknown alg "none" header: unknown typ "x" no signature]`
	if got := fmt.Sprint(read.Faults); got != want {
		t.Errorf("faults %s, want %s", got, want)
	}
	for _, compact := range []string{"", "e30.e30", "e30.e30.a", "W10.e30.e30", "e30.e30fQ.e30"} {
		if read, err := svcauth.ReadUnverified(compact, time.Now()); err == nil {
			t.Errorf("%q: %+v, want an error", compact, read)
		}
	}
}

// A tool shows what a token says, which does not make it true.
func ExampleReadUnverified() {
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		panic(err)
	}
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://census.service/", Key: key})
	if err != nil {
		panic(err)
	}
	token, err := signer.SessionToken(context.Background(), "https://herald.service/", "https://census.service/user/21/")
	if err != nil {
		panic(err)
	}
	read, err := svcauth.ReadUnverified(token, time.Now().Add(time.Hour))
	if err != nil {
		panic(err)
	}
	fmt.Println(read.Kind, len(read.Faults)) // it has expired by then
	// Output: session 1
}
