package svcauth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// jwksFetchTimeout is how long one fetch of a key set may take, body included.
const jwksFetchTimeout = 10 * time.Second

// A fetchError is why a key set could not be fetched. Its cause is the kind of fault, the same for each repetition of it.
type fetchError struct {
	cause string
	err   error
}

func (e *fetchError) Error() string {
	if e.err == nil {
		return e.cause
	}
	return e.cause + ": " + e.err.Error()
}

func (e *fetchError) Unwrap() error { return e.err }

// A fetchedSet is a key set and how long it may be kept.
type fetchedSet struct {
	keys    keyMap
	skipped []string
	keep    time.Duration
}

// fetchKeys fetches a key set once. The skipped keys are told of with an error, too.
func fetchKeys(ctx context.Context, client *http.Client, url string) (set fetchedSet, fault *fetchError) {
	ctx, cancel := context.WithTimeout(ctx, jwksFetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, &fetchError{"making request", err}
	}
	req.Close = true // a connection kept for the next fetch would idle until then, and outlive the verifier
	res, err := client.Do(req)
	if err != nil {
		return set, &fetchError{"fetching", err}
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return set, &fetchError{cause: "fetching: status " + res.Status}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxJWKSBytes+1))
	if err != nil {
		return set, &fetchError{"reading", err}
	}
	if len(data) > maxJWKSBytes {
		return set, &fetchError{cause: fmt.Sprintf("a key set of over %d bytes", maxJWKSBytes)}
	}
	keys, skipped, err := parseJWKS(data)
	set = fetchedSet{keys: keys, keep: keepFor(res.Header)}
	for _, why := range skipped {
		set.skipped = append(set.skipped, why.Error())
	}
	if err != nil {
		return set, &fetchError{"reading the set", err}
	}
	return set, nil
}

// keepFor returns the max-age of Cache-Control (RFC 9111 section 5.2.2.1) within our bounds.
func keepFor(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age=")
		if !ok {
			continue
		}
		if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
			return min(max(time.Duration(seconds)*time.Second, jwksMinRefresh), jwksMaxRefresh)
		}
	}
	return jwksMinRefresh
}
