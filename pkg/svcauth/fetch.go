package svcauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// jwksFetchTimeout is how long one fetch of a key set may take, body included.
const jwksFetchTimeout = 10 * time.Second

// The causes of a key set's not being fetched.
const (
	causeCertificate = "certificate"
	causeTimeout     = "timeout"
	causeConnection  = "connection"
	causeStatus      = "status"
	causeSize        = "size"
	causeContent     = "content"
)

// A fetchError is why a key set could not be fetched.
type fetchError struct {
	cause string
	err   error
}

func (e *fetchError) Error() string { return e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

// notReached returns the fault of a fetch that got no whole answer.
func notReached(ctx context.Context, doing string, err error) *fetchError {
	cause := causeConnection
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		cause = causeCertificate
	} else if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || ctx.Err() != nil {
		cause = causeTimeout
	}
	return &fetchError{cause, fmt.Errorf("%s: %w", doing, err)}
}

// A fetchedSet is a key set and how long it may be kept.
type fetchedSet struct {
	keys    keyMap
	skipped []string
	keep    time.Duration
}

// fetchKeys fetches a key set once. A set without a usable key is no fault: what was published is
// that there is none.
func fetchKeys(ctx context.Context, client *http.Client, url string) (set fetchedSet, fault *fetchError) {
	ctx, cancel := context.WithTimeout(ctx, jwksFetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, notReached(ctx, "making request", err)
	}
	req.Close = true // a connection kept for the next fetch would idle until then, and outlive the verifier
	res, err := client.Do(req)
	if err != nil {
		return set, notReached(ctx, "fetching", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return set, &fetchError{causeStatus, fmt.Errorf("fetching: status %s", res.Status)}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxJWKSBytes+1))
	if err != nil {
		return set, notReached(ctx, "reading", err)
	}
	if len(data) > maxJWKSBytes {
		return set, &fetchError{causeSize, fmt.Errorf("a key set of over %d bytes", maxJWKSBytes)}
	}
	keys, skipped, err := parseJWKS(data)
	if errors.Is(err, errNoUsableKey) {
		keys, err = keyMap{}, nil
	}
	if err != nil {
		return set, &fetchError{causeContent, err}
	}
	set = fetchedSet{keys: keys, keep: keepFor(res.Header)}
	for _, why := range skipped {
		set.skipped = append(set.skipped, why.Error())
	}
	return set, nil
}

// keepFor returns what is left of the max-age of Cache-Control (RFC 9111 sections 4.2.3 and 5.2.2.1), within our bounds.
func keepFor(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // whatever is too large is at its bound
			break
		}
		age, _ := strconv.ParseUint(h.Get("Age"), 10, 32) // 0 where it is none
		return min(max(time.Duration(int64(seconds)-int64(age))*time.Second, jwksMinRefresh), jwksMaxRefresh)
	}
	return jwksMinRefresh
}
