// Package censusclient is the client of Census for other services. It fetches users, and reads and
// writes their URIs. A service signs each request with its own key and sends it on behalf of the
// subject of the call that it works on.
//
//	client, err := censusclient.New(censusclient.Config{
//		URL: "https://census.service/", Signer: signer, HTTPClient: httpClient, Logger: logger,
//	})
//	user, err := client.User(ctx, "https://census.service/user/21/", 42)
package censusclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"example.com/micromachine/pkg/svcauth"
)

// timeout limits a whole call, from connecting to the end of the response body.
const timeout = 3 * time.Second

// maxBody is how many bytes of a response body are read.
const maxBody = 64 << 10

// The errors of [Client.User].
var (
	// ErrForbidden says that the subject may not see the user.
	ErrForbidden = errors.New("not allowed to see the user")
	// ErrNotFound says that the user does not exist. Census tells this only to administrators.
	ErrNotFound = errors.New("user not found")
	// ErrUnavailable says that Census gave no usable answer. A later call may succeed.
	ErrUnavailable = errors.New("Census is unavailable") //nolint:staticcheck // a name
)

// A User is what Census knows about a user.
type User struct {
	Name   string
	Email  string
	Locale string // a BCP 47 language tag
}

// A Config configures a [Client]. All fields are required.
type Config struct {
	// URL is the base URL of Census. It is also the audience of the tokens.
	URL string
	// Signer signs the calls with the service's own key.
	Signer *svcauth.Signer
	// HTTPClient provides the transport. Its other settings are not used.
	HTTPClient *http.Client
	// Logger logs an error when Census rejects the service's token.
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
// of a user or the name of a service. The call takes at most 3 s. The errors are [ErrForbidden],
// [ErrNotFound] and [ErrUnavailable].
func (c *Client) User(ctx context.Context, subject string, id int64) (User, error) {
	uri := c.UserURI(id)
	ctx = svcauth.ActFor(ctx, svcauth.Subject(subject))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return User{}, fmt.Errorf("asking Census: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return User{}, fmt.Errorf("%w: reading answer: %w", ErrUnavailable, err)
	}
	if err := c.statusError(ctx, res.StatusCode); err != nil {
		return User{}, err
	}
	return decode(body, uri)
}

// statusError returns the error for a status code; nil for 200.
func (c *Client) statusError(ctx context.Context, status int) error {
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusUnauthorized:
		c.log.ErrorContext(ctx, "Census does not accept the signature of this service: see its trust file and both clocks")
	}
	return fmt.Errorf("%w: it answered %d", ErrUnavailable, status)
}

// decode reads a user from a response body. Unknown members are ignored.
func decode(body []byte, uri string) (User, error) {
	var user struct{ URI, Name, Email, Locale string }
	if err := json.Unmarshal(body, &user); err != nil {
		// The cause is left out, as it may quote the body.
		return User{}, fmt.Errorf("%w: its answer is not a user", ErrUnavailable)
	}
	if user.URI != uri {
		return User{}, fmt.Errorf("%w: it answered with another user", ErrUnavailable)
	}
	return User{Name: user.Name, Email: user.Email, Locale: user.Locale}, nil
}
