package svcauth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/svcauthtest"
)

// The host of a service's name may be an IPv6 address: the name is signed, trusted and called as
// any other.
func TestIPv6ServiceName(t *testing.T) {
	t.Parallel()
	const name, user = "https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/user/21/"
	issuer := svcauthtest.NewIssuer(t, "https://[2001:db8::2]/")
	verifier := svcauthtest.NewVerifier(t, name, svcauthtest.Trust{
		Issuer: issuer, Allow: []string{"POST /user/"}, ActFor: []string{"https://[2001:db8::1]:8443/user/*"},
	})
	server := newTLSServer(t, "2001:db8::1", verifier.Require(maxBody)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := svcauth.CallerFrom(r.Context())
		subject, _ := svcauth.SubjectFrom(r.Context())
		_, _ = io.WriteString(w, caller.Issuer+" "+string(subject))
	})))
	client, err := httpclient.New(httpclient.Config{
		CAFile: server.caFile, ConnectTo: "[2001:db8::1]:8443:" + server.Listener.Addr().String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: issuer.Signer(), Audience: name, Base: client.Transport})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(svcauth.ActFor(t.Context(), user), http.MethodPost, name+"user/", strings.NewReader(newUser))
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "https://[2001:db8::2]/ "+user {
		t.Errorf("%s %q, %v", res.Status, body, err)
	}
}

// An IPv6 address in a service name has one accepted form. It has no zone, which has a meaning on
// one host only.
func TestIPv6ServiceNameFaults(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"https://[fe80::1%25eth0]/":  "zone",
		"https://[fe80::1%eth0]/":    "zone",
		"https://[2001:DB8::1]/":     "canonical",
		"https://[2001:db8:0::1]/":   "canonical",
		"https://[2001:0db8::1]/":    "canonical",
		"https://[::ffff:7f00:1]/":   "canonical",
		"https://2001:db8::1/":       "not a URL",
		"https://[2001:db8::1/":      "not a URL",
		"https://[census.service]/":  "not a URL",
		"https://[2001:db8::1]:0/":   "port",
		"https://[2001:db8::1]:/":    "canonical",
		"https://[2001:db8::1]8443/": "not a URL",
		"https://[]/":                "not a URL",
	} {
		_, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: name, Key: generateKey(t, keys.EdDSA)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}
