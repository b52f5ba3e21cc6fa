package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/svcauth"
)

// mailWithin is how long the mail, and then the status sent, may take.
const mailWithin = 15 * time.Second

const welcome = `{"user":"https://census.service/user/42/","type":"welcome-message"}`

// An exchangeLog records Herald's requests to Census. It is safe for concurrent use.
type exchangeLog struct {
	mu        sync.Mutex
	exchanges []stack.Exchange
}

func (l *exchangeLog) add(e stack.Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exchanges = append(l.exchanges, e)
}

// first returns the first exchange.
func (l *exchangeLog) first() (e stack.Exchange, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.exchanges) == 0 {
		return e, false
	}
	return l.exchanges[0], true
}

// A story is the article's story on a running system.
type story struct {
	*printer
	*stack.Stack
	exchanges *exchangeLog
}

func (s *story) play(ctx context.Context) error {
	s.introduce()
	for _, chapter := range []func(context.Context) error{s.notify, s.attack} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) introduce() {
	s.title("The system")
	for _, service := range s.Services {
		title := strings.ToUpper(service.Name[:1]) + service.Name[1:]
		s.line("%s  %s  at %s, on PostgreSQL", title, service.URL, service.Addr)
	}
	s.line("mail server           at %s, STARTTLS required", s.Mail.Addr)
	s.line("users   21 %s, 42 %s, 63 %s; 21 may see 42", stack.Reader.Name, stack.CensusUser.Name, stack.Stranger.Name)
}

// notify is the story of the article: another.service asks for a welcome mail to user 42, on behalf
// of user 21.
func (s *story) notify(ctx context.Context) error {
	s.title("another.service asks Herald to welcome user 42, on behalf of user 21")
	r, err := s.Another.Request(ctx, http.MethodPost, stack.HeraldURL+"notification/", welcome, stack.Reader.Subject())
	if err != nil {
		return err
	}
	s.line("POST %s", r.URL)
	s.line("%s", welcome)
	s.token(r.Header.Get(svcauth.Header))
	res, err := s.Another.Send(r)
	if err != nil {
		return err
	}
	location := res.Header.Get("Location")
	s.line("--> %d %s", res.Status, http.StatusText(res.Status))
	s.line("Location: %s", location)
	s.json(res.Body)
	s.check(res.Status == http.StatusCreated, "POST got status %d", res.Status)
	s.check(strings.HasPrefix(location, stack.HeraldURL+"notification/"), "Location is %q", location)

	s.showCensusCall()
	if err := s.showMail(ctx); err != nil {
		return err
	}
	return s.showStatus(ctx, location)
}

func (s *story) showCensusCall() {
	s.title("Herald asks Census for the address, with its own key, on behalf of user 21")
	e, ok := s.exchanges.first()
	s.check(ok, "Herald did not ask Census")
	if !ok {
		return
	}
	s.line("%s https://census.service%s", e.Method, e.Path)
	s.token(e.Token)
	s.line("--> %d %s", e.Status, http.StatusText(e.Status))
	s.check(e.Status == http.StatusOK, "Census answered Herald with %d", e.Status)
}

func (s *story) showMail(ctx context.Context) error {
	s.title("The mail, as the mail server received it")
	var files []string
	err := await(ctx, "the mail", func() (bool, error) {
		var err error
		files, err = filepath.Glob(filepath.Join(s.MailDir, "*.eml"))
		return len(files) > 0, err
	})
	if err != nil {
		return err
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return fmt.Errorf("reading the mail: %w", err)
	}
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("reading the mail: %w", err)
	}
	header, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	s.block(string(header))
	if err := s.showParts(message); err != nil {
		return fmt.Errorf("reading the mail: %w", err)
	}
	to, err := mail.ParseAddress(message.Header.Get("To"))
	s.check(err == nil && to.Address == stack.CensusUser.Email, "the mail went to %q", message.Header.Get("To"))
	return nil
}

// showParts prints the decoded parts of a mail.
func (s *story) showParts(message *mail.Message) error {
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		s.line("-- %s, decoded", part.Header.Get("Content-Type"))
		s.block(string(text))
	}
}

func (s *story) showStatus(ctx context.Context, location string) error {
	s.title("The state of the notification: shop.service asks, on behalf of user 21")
	s.line("GET %s", location)
	var res *stack.Response
	err := await(ctx, "status sent", func() (bool, error) {
		var err error
		if res, err = s.Shop.Call(ctx, http.MethodGet, location, "", stack.Reader.Subject()); err != nil {
			return false, err
		}
		var n struct{ Status string }
		err = res.JSON(&n)
		return n.Status == "sent", err
	})
	if err != nil {
		return err
	}
	s.line("--> %d %s", res.Status, http.StatusText(res.Status))
	s.json(res.Body)
	return nil
}

// await polls until ask returns true. It returns an error after mailWithin.
func await(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, mailWithin)
	defer cancel()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for %s: none within %v", what, mailWithin), context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
