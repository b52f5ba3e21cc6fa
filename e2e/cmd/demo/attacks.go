package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/svcauth"
)

// An attack is a request that must be refused, with the expected status.
type attack struct {
	name string
	want int
	send func(context.Context, *story) (*stack.Response, error)
}

var attacks = []attack{
	{"the body is changed after signing", http.StatusUnauthorized, changedBody},
	{"a token for Census is shown to Herald", http.StatusUnauthorized, otherAudience},
	{"an issuer that Herald does not know", http.StatusUnauthorized, unknownIssuer},
	{"the same token a second time", http.StatusUnauthorized, replay},
	{"user 63, who may not see user 42", http.StatusForbidden, blindSubject},
	{"shop.service may read users, and tries to delete one", http.StatusForbidden, forbiddenCall},
}

func (s *story) attack(ctx context.Context) error {
	s.title("Attacks and the responses")
	before, err := s.mails()
	if err != nil {
		return err
	}
	for _, a := range attacks {
		res, err := a.send(ctx, s)
		if err != nil {
			return fmt.Errorf("attack %q: %w", a.name, err)
		}
		s.line("%d %-12s  %s", res.Status, http.StatusText(res.Status), a.name)
		s.check(res.Status == a.want, "%s: status %d, not %d", a.name, res.Status, a.want)
	}
	after, err := s.mails()
	s.line("")
	s.line("mails sent by the refused requests: %d", after-before)
	s.check(after == before, "the attacks caused %d mails", after-before)
	return err
}

func (s *story) mails() (int, error) {
	files, err := filepath.Glob(filepath.Join(s.MailDir, "*.eml"))
	return len(files), err
}

// post returns the valid request that the attacks change.
func (s *story) post(ctx context.Context, subject svcauth.Subject) (*http.Request, error) {
	return s.Shop.Request(ctx, http.MethodPost, stack.HeraldURL+"notification/", welcome, subject)
}

func changedBody(ctx context.Context, s *story) (*stack.Response, error) {
	r, err := s.post(ctx, stack.Reader.Subject())
	if err != nil {
		return nil, err
	}
	changed := strings.Replace(welcome, "/42/", "/21/", 1)
	r.Body, r.GetBody = io.NopCloser(strings.NewReader(changed)), nil
	return s.Shop.Send(r)
}

func otherAudience(ctx context.Context, s *story) (*stack.Response, error) {
	url := stack.HeraldURL + "notification/"
	r, err := s.Shop.RequestFor(ctx, http.MethodPost, url, welcome, stack.Reader.Subject(), stack.CensusURL)
	if err != nil {
		return nil, err
	}
	return s.Shop.Send(r)
}

func unknownIssuer(ctx context.Context, s *story) (*stack.Response, error) {
	unknown, err := s.Shop.UnknownIssuer("https://unknown.service/")
	if err != nil {
		return nil, err
	}
	return unknown.Call(ctx, http.MethodPost, stack.HeraldURL+"notification/", welcome, stack.Reader.Subject())
}

// replay sends a token a second time. Herald has accepted the token, although the request itself is
// invalid.
func replay(ctx context.Context, s *story) (*stack.Response, error) {
	r, err := s.Shop.Request(ctx, http.MethodPost, stack.HeraldURL+"notification/", `{"user":"?","type":"?"}`,
		stack.Reader.Subject())
	if err != nil {
		return nil, err
	}
	first, err := s.Shop.Send(r.Clone(ctx))
	if err != nil {
		return nil, err
	}
	s.check(first.Status == http.StatusUnprocessableEntity, "the first request with the replayed token got status %d",
		first.Status)
	if r.Body, err = r.GetBody(); err != nil {
		return nil, err
	}
	return s.Shop.Send(r)
}

func blindSubject(ctx context.Context, s *story) (*stack.Response, error) {
	r, err := s.post(ctx, stack.Stranger.Subject())
	if err != nil {
		return nil, err
	}
	return s.Shop.Send(r)
}

func forbiddenCall(ctx context.Context, s *story) (*stack.Response, error) {
	return s.Shop.Call(ctx, http.MethodDelete, stack.CensusUser.URI(), "", stack.CensusUser.Subject())
}
