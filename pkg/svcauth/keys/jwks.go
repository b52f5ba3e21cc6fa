package keys

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// JWKSPath is where every service publishes its keys, relative to its base URL.
const JWKSPath = ".well-known/jwks.json"

// jwksMaxAge is how long a receiver may keep a published key set.
const jwksMaxAge = 5 * time.Minute

// Handler serves the public halves of a service's keys as a JWK Set (RFC 7517 section 5), cacheable
// for five minutes. A service mounts it, without authentication, at its base URL plus [JWKSPath].
func Handler(keys Signing) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := MarshalJWKS(keys.PublishedKeys()...)
		if err != nil {
			http.Error(w, "key set unavailable", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(jwksMaxAge.Seconds())))
		_, _ = w.Write(body) // an error means that the client is gone
	})
}

// MarshalJWKS returns the public halves of keys as the JSON of a JWK Set (RFC 7517 section 5).
func MarshalJWKS(keys ...*Private) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(keys))}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.public.jwk())
	}
	data, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encoding key set: %w", err)
	}
	return data, nil
}
