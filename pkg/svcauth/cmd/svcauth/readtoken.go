package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// The kinds of token.
const (
	kindBound   = "bound"
	kindArticle = "article"
	kindSession = "session"
	kindUnknown = "unknown"
)

// A token is what a compact JWS says, also one that every receiver refuses.
type token struct {
	hash           string // its name in logs
	read           *svcauth.Unverified
	header, claims []member
	remarks        []string // why receivers refuse it, and what is unusual
}

// A member is a name and its value in a JSON object, as it was sent.
type member struct {
	json strictjson.Member
	at   *instant // of a claim that is a time
}

// readToken reads a compact JWS with the reader of package svcauth. now is compared with its times.
func readToken(compact string, now time.Time) (*token, error) {
	if compact == "" {
		return nil, errors.New("nothing there")
	}
	t := &token{hash: svcauth.TokenHash(compact)}
	var err error
	if t.read, err = svcauth.ReadUnverified(compact, now); err != nil {
		canonical := canonicalBase64(compact)
		if canonical == compact {
			return nil, err
		}
		t.remarks = append(t.remarks, err.Error())
		if t.read, err = svcauth.ReadUnverified(canonical, now); err != nil {
			return nil, err
		}
	}
	for _, fault := range t.read.Faults {
		t.remarks = append(t.remarks, fault.Error())
	}
	t.header, t.claims = members(t.read.Header), members(t.read.Claims)
	t.setTimes(now)
	return t, nil
}

// canonicalBase64 returns a token with its parts in canonical base64url.
func canonicalBase64(compact string) string {
	urlAlphabet := strings.NewReplacer("+", "-", "/", "_")
	parts := strings.Split(compact, ".")
	for i, part := range parts {
		data, err := base64.RawURLEncoding.DecodeString(urlAlphabet.Replace(strings.TrimRight(part, "=")))
		if err == nil {
			parts[i] = base64.RawURLEncoding.EncodeToString(data)
		}
	}
	return strings.Join(parts, ".")
}

// members returns the members of an object that [svcauth.ReadUnverified] has read.
func members(object json.RawMessage) []member {
	read, _, _ := strictjson.Read(string(object)) // it was read before without error
	all := make([]member, 0, len(read))
	for _, m := range read {
		all = append(all, member{json: m})
	}
	return all
}

// setTimes sets the times of iat, nbf and exp.
func (t *token) setTimes(now time.Time) {
	expires := false
	for i := range t.claims {
		m := &t.claims[i]
		name := m.json.Name
		if name != "iat" && name != "nbf" && name != "exp" {
			continue
		}
		expires = expires || name == "exp"
		if seconds, err := m.json.Seconds(); err == nil {
			at := instantOf(seconds, now.Unix())
			m.at = &at
		}
	}
	if !expires {
		t.remarks = append(t.remarks, "there is no exp: the token would be valid for ever")
	}
}

// kind returns the kind of token. A token that cannot be read is nil, and of an unknown kind.
func (t *token) kind() string {
	if t == nil || t.read.Kind == "" {
		return kindUnknown
	}
	return t.read.Kind
}

// says returns the text of a claim; empty if the claim has none or the token is nil.
func (t *token) says(claim string) string {
	if t == nil {
		return ""
	}
	return textOf(t.claims, claim)
}

// textOf returns the text of the first member of that name; empty if it has none.
func textOf(members []member, name string) string {
	for _, m := range members {
		if m.json.Name == name {
			text, _ := m.json.Text()
			return strings.ToValidUTF8(text, "\uFFFD")
		}
	}
	return ""
}
