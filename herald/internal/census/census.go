// Package census fetches users from Census. Herald signs each request with its own key and sends it
// on behalf of the creator of a notification.
//
//	client, err := census.New(census.Config{
//		URL: "https://census.service/", Signer: signer, HTTPClient: httpClient, Logger: logger,
//	})
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

// timeout limits a whole call, from connecting to the end of the response body.
const timeout = 3 * time.Second

// maxBody is how many bytes of a response body are read.
const maxBody = 64 << 10

// A Config configures a [Client]. All fields are required.
type Config struct {
	// URL is the base URL of Census. It is also the audience of the tokens.
	URL string
	// Signer signs the calls with Herald's key.
	Signer *svcauth.Signer
	// HTTPClient provides the transport. Its other settings are not used.
	HTTPClient *http.Client
	// Logger logs an error when Census rejects Herald's token.
	Logger *slog.Logger
}

// A Client fetches users from Census. It is safe for concurrent use.
type Client struct {
	url  string
	http *http.Client
	log  *slog.Logger
}

// New returns a client. It returns an error when the URL cannot be the name of a service.
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

// User returns the user with an ID, as far as the subject may see that user. The subject is the URI
// of a user or the name of a service. The errors are:
//
//   - herald.ErrForbidden: the subject may not see the user;
//   - herald.ErrUserNotFound: the user does not exist;
//   - herald.ErrCensusUnavailable: Census gave no usable answer.
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
	if err := c.statusError(ctx, res.StatusCode); err != nil {
		return herald.Recipient{}, err
	}
	return decode(body, uri)
}

// statusError returns the error for a status code; nil for 200.
func (c *Client) statusError(ctx context.Context, status int) error {
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

// decode reads a user from a response body. Unknown members are ignored.
func decode(body []byte, uri string) (herald.Recipient, error) {
	var user struct{ URI, Name, Email, Locale string }
	if err := json.Unmarshal(body, &user); err != nil {
		// The cause is left out, as it may quote the body.
		return herald.Recipient{}, fmt.Errorf("%w: its answer is not a user", herald.ErrCensusUnavailable)
	}
	if user.URI != uri {
		return herald.Recipient{}, fmt.Errorf("%w: it answered with another user", herald.ErrCensusUnavailable)
	}
	return herald.Recipient{Name: user.Name, Email: user.Email, Locale: user.Locale}, nil
}
