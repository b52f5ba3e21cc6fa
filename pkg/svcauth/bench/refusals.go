package main

import (
	"fmt"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// checkRefusals returns an error unless a peer accepts a valid token, and rejects a token with each
// of the faults that every peer is configured to detect.
func (w *world) checkRefusals(p peer) error {
	good, err := readToken(w.signer, audience, userURL)
	if err != nil {
		return err
	}
	if err := p.verify(good); err != nil {
		return fmt.Errorf("%s refuses a good token: %w", p.name, err)
	}
	bad, err := w.badTokens(good)
	if err != nil {
		return err
	}
	for fault, token := range bad {
		if p.verify(token) == nil {
			return fmt.Errorf("%s accepts a token with %s", p.name, fault)
		}
	}
	return nil
}

// badTokens returns invalid tokens by their fault.
func (w *world) badTokens(good string) (map[string]string, error) {
	bad := map[string]string{"another signature": withOtherSignature(good)}
	for fault, of := range map[string]struct {
		config        svcauth.SignerConfig
		audience, url string
	}{
		"another audience": {svcauth.SignerConfig{}, "https://shop.service/", "https://shop.service/user/42/"},
		"another issuer":   {svcauth.SignerConfig{Issuer: "https://shop.service/"}, audience, userURL},
		"an expired time":  {svcauth.SignerConfig{Now: anHourAgo}, audience, userURL},
		"another request":  {svcauth.SignerConfig{}, audience, userURL + "viewer/21/"},
	} {
		signer, err := w.newSigner(of.config)
		if err != nil {
			return nil, err
		}
		if bad[fault], err = readToken(signer, of.audience, of.url); err != nil {
			return nil, err
		}
	}
	return bad, nil
}

func anHourAgo() time.Time { return time.Now().Add(-time.Hour) }

// withOtherSignature changes the first character of the token's signature.
func withOtherSignature(token string) string {
	first := strings.LastIndexByte(token, '.') + 1
	other := "A"
	if token[first] == 'A' {
		other = "B"
	}
	return token[:first] + other + token[first+1:]
}
