package keyset

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

	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	fetchTimeout = 10 * time.Second // of one fetch, body included
	minRefresh   = time.Minute      // the shortest time until a set is fetched again, by Cache-Control
	maxRefresh   = 15 * time.Minute // the longest
)

// The causes of a failed fetch.
const (
	causeCertificate = "certificate"
	causeTimeout     = "timeout"
	causeConnection  = "connection"
	causeStatus      = "status"
	causeSize        = "size"
	causeContent     = "content"
)

// A fetchError is the fault of a failed fetch.
type fetchError struct {
	cause string
	err   error
}

func (e *fetchError) Error() string { return e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

// notReached returns the fault of a fetch without a complete answer.
func notReached(ctx context.Context, doing string, err error) *fetchError {
	cause := causeConnection
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		cause = causeCertificate
	} else if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || ctx.Err() != nil {
		cause = causeTimeout
	}
	return &fetchError{cause, fmt.Errorf("%s: %w", doing, err)}
}

// A fetchedSet is a key set, and how long it may be kept.
type fetchedSet struct {
	keys    keys.Set
	skipped []string
	keep    time.Duration
}

// fetch fetches a key set once. A set without a usable key is not a fault, because the issuer
// published it.
func fetch(ctx context.Context, client *http.Client, url string) (set fetchedSet, fault *fetchError) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, notReached(ctx, "making request", err)
	}
	req.Close = true // a connection that is kept for the next fetch would be idle, and outlive the verifier
	res, err := client.Do(req)
	if err != nil {
		return set, notReached(ctx, "fetching", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return set, &fetchError{causeStatus, fmt.Errorf("fetching: status %s", res.Status)}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, keys.MaxJWKSBytes+1))
	if err != nil {
		return set, notReached(ctx, "reading", err)
	}
	if len(data) > keys.MaxJWKSBytes {
		return set, &fetchError{causeSize, fmt.Errorf("a key set of over %d bytes", keys.MaxJWKSBytes)}
	}
	published, skipped, err := keys.ParseJWKS(data)
	if errors.Is(err, keys.ErrNoUsableKey) {
		published, err = keys.Set{}, nil
	}
	if err != nil {
		return set, &fetchError{causeContent, err}
	}
	set = fetchedSet{keys: published, keep: keepFor(res.Header)}
	for _, why := range skipped {
		set.skipped = append(set.skipped, why.Error())
	}
	return set, nil
}

// keepFor returns the rest of the max-age of Cache-Control (RFC 9111 sections 4.2.3 and 5.2.2.1),
// from minRefresh to maxRefresh. Without max-age it returns minRefresh.
func keepFor(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // a number that is too large is at its bound
			break
		}
		age, _ := strconv.ParseUint(h.Get("Age"), 10, 32) // 0 if it is not a number
		return min(max(time.Duration(int64(seconds)-int64(age))*time.Second, minRefresh), maxRefresh)
	}
	return minRefresh
}
