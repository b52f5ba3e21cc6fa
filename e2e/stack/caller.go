package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// callers are the services that only call others. Their names are also those of their files.
var callers = []struct {
	name, url string
	profile   trust.Profile
}{
	{"another", "https://another.service/", trust.Article},
	{"shop", "https://shop.service/", trust.Bound},
	{"office", "https://office.service/", trust.Bound},
}

// A Caller is a service that only calls others.
type Caller struct {
	URL     string
	KeyFile string // empty for a key that is on no disk
	key     *keys.Private
	signer  *svcauth.Signer
	client  *http.Client
}

// A Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the answer's body.
func (r *Response) JSON(v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("decoding answer %q: %w", r.Body, err)
	}
	return nil
}

// NewCallers returns the callers whose keys [Prepare] made in dir.
func NewCallers(dir, connectTo string) (another, shop, office *Caller, err error) {
	client, err := httpclient.New(httpclient.Config{CAFile: filepath.Join(dir, "ca.pem"), ConnectTo: connectTo})
	if err != nil {
		return nil, nil, nil, err
	}
	client.Timeout = 30 * time.Second
	made := map[string]*Caller{}
	for _, c := range callers {
		file := filepath.Join(dir, c.name+".pem")
		key, err := keys.Load(file)
		if err != nil {
			return nil, nil, nil, err
		}
		if made[c.name], err = newCaller(c.url, key, c.profile, client); err != nil {
			return nil, nil, nil, err
		}
		made[c.name].KeyFile = file
	}
	return made["another"], made["shop"], made["office"], nil
}

func newCaller(url string, key *keys.Private, profile trust.Profile, client *http.Client) (*Caller, error) {
	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: url, Key: key, Profile: profile})
	if err != nil {
		return nil, err
	}
	return &Caller{URL: url, key: key, signer: signer, client: client}, nil
}

// UnknownIssuer returns a caller with a new key, which no trust file contains. It connects as c
// does.
func (c *Caller) UnknownIssuer(url string) (*Caller, error) {
	key, err := keys.Generate(keys.EdDSA)
	if err != nil {
		return nil, err
	}
	return newCaller(url, key, trust.Bound, c.client)
}

// Client returns a client that signs its calls to the service named audience, as services do, and
// sends them over HTTP/1.1 or HTTP/2. Their context says by [svcauth.ActFor] on whose behalf they
// are.
func (c *Caller) Client(audience string, http2 bool) (*http.Client, error) {
	base, ok := c.client.Transport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("a client with a transport of type %T", c.client.Transport)
	}
	base = base.Clone()
	base.ForceAttemptHTTP2 = http2
	transport, err := svcauth.NewTransport(svcauth.TransportConfig{Signer: c.signer, Audience: audience, Base: base})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport, Timeout: c.client.Timeout}, nil
}

// WithConnections returns the caller with another client, which keeps up to n connections to each
// service.
func (c *Caller) WithConnections(n int) (*Caller, error) {
	transport, ok := c.client.Transport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("the caller's transport is a %T", c.client.Transport)
	}
	transport = transport.Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, n
	client, other := *c.client, *c
	client.Transport, other.client = transport, &client
	return &other, nil
}

// KeyID returns the identifier of the caller's key.
func (c *Caller) KeyID() string { return c.key.ID() }

// Request makes a signed request on behalf of a user. A body is JSON; an empty one is none.
func (c *Caller) Request(ctx context.Context, method, url, body string, subject svcauth.Subject) (*http.Request, error) {
	return c.RequestFor(ctx, method, url, body, subject, audienceOf(url))
}

// RequestFor is Request with a token for an audience of one's choice.
func (c *Caller) RequestFor(
	ctx context.Context, method, url, body string, subject svcauth.Subject, audience string,
) (*http.Request, error) {
	signed, err := http.NewRequestWithContext(ctx, method, audience+strings.TrimPrefix(url, audienceOf(url)), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if err := c.signer.Sign(signed, audience, subject); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set(svcauth.Header, signed.Header.Get(svcauth.Header))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// audienceOf returns the name of the service that a URL belongs to.
func audienceOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + "/"
}

// Call makes a signed request and sends it.
func (c *Caller) Call(ctx context.Context, method, url, body string, subject svcauth.Subject) (*Response, error) {
	r, err := c.Request(ctx, method, url, body, subject)
	if err != nil {
		return nil, err
	}
	return c.Send(r)
}

// Send sends a request and reads the answer.
func (c *Caller) Send(r *http.Request) (*Response, error) {
	res, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("reading answer: %w", err)
	}
	return &Response{Status: res.StatusCode, Header: res.Header, Body: bytes.TrimSpace(body)}, res.Body.Close()
}
