package svcauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

var update = flag.Bool("update", false, "rewrite "+vectorsPath)

const vectorsPath = "testdata/vectors.json"

// A vectorFile is the file of test vectors. testdata/README.md describes its members.
type vectorFile struct {
	Description string        `json:"description"`
	Receiver    string        `json:"receiver"`
	Now         int64         `json:"now"`
	Keys        []vectorKey   `json:"keys"`
	Trust       []vectorTrust `json:"trust"`
	Cases       []vectorCase  `json:"cases"`
}

// A vectorKey is a key of an issuer, as two JWKs.
type vectorKey struct {
	Issuer  string          `json:"issuer"`
	Private json.RawMessage `json:"private"`
	Public  json.RawMessage `json:"public"`
}

// A vectorTrust is an entry of the receiver's trust file, without its keys.
type vectorTrust struct {
	Issuer   string   `json:"issuer"`
	Profile  string   `json:"profile,omitempty"`
	Sessions bool     `json:"sessions,omitempty"`
	Allow    []string `json:"allow,omitempty"`
	ActFor   []string `json:"act_for,omitempty"`
}

// A vectorCase is a call, its token, and one of the two results.
type vectorCase struct {
	Name   string         `json:"name"`
	After  string         `json:"after,omitempty"`
	Call   vectorCall     `json:"call"`
	Token  string         `json:"token"`
	Accept *vectorAccept  `json:"accept,omitempty"`
	Refuse *vectorRefusal `json:"refuse,omitempty"`
}

type vectorCall struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Body   string `json:"body,omitempty"`
}

type vectorAccept struct {
	Caller  string         `json:"caller"`
	Subject string         `json:"subject"`
	Profile string         `json:"profile"`
	Claims  svcauth.Claims `json:"claims,omitempty"`
}

type vectorRefusal struct {
	Check  svcauth.Check `json:"check"`
	Status int           `json:"status"`
}

// The file of test vectors is what the tests make, and a verifier that knows nothing but the file
// comes to the result of each case. Each check refuses at least one.
func TestVectors(t *testing.T) {
	made := encodeVectors(t, makeVectors(t))
	if *update {
		if err := os.WriteFile(vectorsPath, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data := []byte(readFile(t, vectorsPath))
	if !bytes.Equal(data, made) {
		t.Errorf("%s differs from what the tests make: run go test ./pkg/svcauth -run TestVectors -update", vectorsPath)
	}
	var file vectorFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	policy := file.policy(t)
	cases, refusing := map[string]vectorCase{}, map[svcauth.Check]bool{}
	for _, c := range file.Cases {
		if _, again := cases[c.Name]; again {
			t.Errorf("two cases named %q", c.Name)
		}
		cases[c.Name] = c
		if c.Refuse != nil {
			refusing[c.Refuse.Check] = true
		}
		t.Run(c.Name, func(t *testing.T) {
			verifier := file.verifier(t, policy)
			if c.After != "" {
				cases[c.After].check(t, verifier, policy)
			}
			c.check(t, verifier, policy)
		})
	}
	for _, check := range svcauth.Checks() {
		if !refusing[check] {
			t.Errorf("no case is refused by check %s", check)
		}
	}
}

func encodeVectors(t *testing.T, file *vectorFile) []byte {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(file); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// policy returns the receiver's trust policy.
func (f *vectorFile) policy(t *testing.T) *trust.Policy {
	t.Helper()
	var issuers []trust.Issuer
	for _, entry := range f.Trust {
		var jwks struct {
			Keys []json.RawMessage `json:"keys"`
		}
		for _, key := range f.Keys {
			if key.Issuer == entry.Issuer {
				jwks.Keys = append(jwks.Keys, key.Public)
			}
		}
		data, err := json.Marshal(jwks)
		if err != nil {
			t.Fatal(err)
		}
		set, err := keys.ParseSet(data)
		if err != nil {
			t.Fatal(err)
		}
		issuers = append(issuers, trust.Issuer{
			Name: entry.Issuer, Profile: trust.Profile(entry.Profile), PublicKeys: slices.Collect(maps.Values(set)),
			Allow: entry.Allow, ActFor: entry.ActFor, Sessions: entry.Sessions,
		})
	}
	policy, err := trust.New(issuers...)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// verifier returns the receiver, which has seen no token yet.
func (f *vectorFile) verifier(t *testing.T, policy *trust.Policy) *svcauth.Verifier {
	t.Helper()
	verifier, err := svcauth.NewVerifier(svcauth.VerifierConfig{
		Audience: f.Receiver, Trust: policy, Replay: svcauth.NewMemoryReplay(), Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(f.Now, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	return verifier
}

// check verifies the call of the case and compares the result.
func (c vectorCase) check(t *testing.T, verifier *svcauth.Verifier, policy *trust.Policy) {
	t.Helper()
	id, err := verifier.VerifyCall(t.Context(), c.Token, svcauth.Call{
		Method: c.Call.Method, URL: c.Call.URL, Body: []byte(c.Call.Body),
	})
	if (c.Accept == nil) == (c.Refuse == nil) {
		t.Fatalf("%q has not one result", c.Name)
	}
	if c.Refuse != nil {
		refusal, ok := errors.AsType[*svcauth.Refusal](err)
		if !ok || refusal.Check != c.Refuse.Check || refusal.Status != c.Refuse.Status {
			t.Errorf("%q: %+v, %v; want a refusal: %+v", c.Name, id, err, *c.Refuse)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", c.Name, err)
	}
	profile := "session"
	if !id.Caller.Session {
		profile = string(policy.Entry(id.Caller.Issuer).Profile())
	}
	got := vectorAccept{Caller: id.Caller.Issuer, Subject: string(id.Subject), Profile: profile, Claims: id.Claims}
	if !reflect.DeepEqual(got, *c.Accept) {
		t.Errorf("%q: %+v, want %+v", c.Name, got, *c.Accept)
	}
}
