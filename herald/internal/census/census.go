// Package census asks Census for users, with Herald's own signature and in the
// name of whoever wants to notify them.
//
//	client, err := census.New(census.Config{URL: "https://census.service/", Signer: signer, HTTPClient: httpClient})
//	user, err := client.User(ctx, "https://census.service/user/21/", 42)
package census

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/svcauth"
)

// timeout bounds a call as a whole.
const timeout = 3 * time.Second

// maxBody bounds what is read of an answer.
const maxBody = 64 << 10

// A Config says what a [Client] needs to know. All fields are required.
type Config struct {
	// URL is Census's name, its base URL.
	URL string
	// Signer signs the calls as Herald.
	Signer *svcauth.Signer
	// HTTPClient makes the calls; of it only the transport is used.
	HTTPClient *http.Client
	// Logger is told when Census refuses Herald itself.
	Logger *slog.Logger
}

// A Client asks Census for users. It is safe for concurrent use.
type Client struct {
	url  string
	http *http.Client
	log  *slog.Logger
}

// New checks the config; a URL that can be no service's name is an error.
func New(config Config) (*Client, error) {
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{
		Signer: config.Signer, Audience: config.URL, Base: config.HTTPClient.Transport,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing calls to Census: %w", err)
	}
	return &Client{url: config.URL, log: config.Logger, http: &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// User returns what Census lets the subject, a user's URI or a service's name,
// see of a user. It is decided by Census as if the subject had asked:
//
//   - herald.ErrForbidden: the subject may not see the user;
//   - herald.ErrUserNotFound: there is no such user;
//   - herald.ErrCensusUnavailable: there is no telling now.
func (c *Client) User(ctx context.Context, subject string, id int64) (herald.Recipient, error) {
	uri := herald.UserURI(c.url, id)
	ctx = svcauth.ActFor(ctx, svcauth.Subject(subject))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return herald.Recipient{}, fmt.Errorf("asking Census: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return herald.Recipient{}, fmt.Errorf("%w: %w", herald.ErrCensusUnavailable, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return herald.Recipient{}, fmt.Errorf("%w: reading answer: %w", herald.ErrCensusUnavailable, err)
	}
	if err := c.refusal(ctx, res.StatusCode); err != nil {
		return herald.Recipient{}, err
	}
	return decode(body, uri)
}

// refusal returns the error that a status stands for; nil for 200.
func (c *Client) refusal(ctx context.Context, status int) error {
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusForbidden:
		return herald.ErrForbidden
	case http.StatusNotFound:
		return herald.ErrUserNotFound
	case http.StatusUnauthorized:
		c.log.ErrorContext(ctx, "Census does not accept Herald's signature: see its trust file and both clocks")
	}
	return fmt.Errorf("%w: it answered %d", herald.ErrCensusUnavailable, status)
}

// decode reads a user. Members that are not known here are Census's own business.
func decode(body []byte, uri string) (herald.Recipient, error) {
	var user struct{ URI, Name, Email, Locale string }
	if err := json.Unmarshal(body, &user); err != nil {
		// The cause could repeat what it stumbled over.
		return herald.Recipient{}, fmt.Errorf("%w: its answer is no user", herald.ErrCensusUnavailable)
	}
	if user.URI != uri {
		return herald.Recipient{}, fmt.Errorf("%w: it answered with another user", herald.ErrCensusUnavailable)
	}
	return herald.Recipient{Name: user.Name, Email: user.Email, Locale: user.Locale}, nil
}
