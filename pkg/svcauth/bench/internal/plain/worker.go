package plain

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/riverqueue/river"
)

// A worker sends the mail of a job.
type worker struct {
	river.WorkerDefaults[Welcome]
	mailer mailer
	census *censusClient
}

// Work implements [river.Worker].
func (w *worker) Work(ctx context.Context, job *river.Job[Welcome]) error {
	u, err := w.census.user(ctx, job.Args)
	if err != nil {
		return err
	}
	message, err := compose(u)
	if err != nil {
		return err
	}
	return w.mailer.send(ctx, message)
}

// A censusClient reads users from Census.
type censusClient struct {
	url  string
	key  ed25519.PrivateKey
	http *http.Client
}

func newCensusClient(s heraldSettings) *censusClient {
	c := &censusClient{url: strings.TrimSuffix(s.CensusURL, "/"), key: s.OwnKey.private(), http: http.DefaultClient}
	if s.Tuned {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = maxWorkers
		c.http = &http.Client{Transport: transport}
	}
	return c
}

func (c *censusClient) user(ctx context.Context, job Welcome) (user, error) {
	var u user
	token, err := Sign(c.key, Herald, Census, job.Subject, nil)
	if err != nil {
		return u, fmt.Errorf("signing: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+job.User, nil)
	if err != nil {
		return u, fmt.Errorf("asking Census: %w", err)
	}
	r.Header.Set(header, token)
	res, err := c.http.Do(r)
	if err != nil {
		return u, fmt.Errorf("asking Census: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return u, fmt.Errorf("reading Census's response: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return u, fmt.Errorf("census answered %s", res.Status)
	}
	if err := json.Unmarshal(body, &u); err != nil {
		return u, fmt.Errorf("decoding user: %w", err)
	}
	return u, nil
}
