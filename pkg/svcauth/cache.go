package svcauth

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	// maxCachedTokens bounds the memory of verified tokens: under 10 MB unless they are long, at
	// most 100 MB.
	maxCachedTokens = 8192
	// maxCachedHeaders bounds the memory of their headers. A key has one header, or a few.
	maxCachedHeaders = 256
)

// A tokenCache is an LRU cache of read tokens that passed every check, so that their signature need
// not be verified again. What can change later, such as the clock, the trust policy and the
// request, is checked at every use. Tokens that work once are not cached. The keys are hashes, so
// that the cache holds no credentials. A second cache is of the headers, which many tokens have in
// common.
type tokenCache struct {
	tokens  *lru.Cache[tokenSum, *cachedToken]
	headers *lru.Cache[string, joseHeader]
}

// A cachedToken is what a token says, and the key that proved it.
type cachedToken struct {
	token token
	key   keys.Public
}

func newTokenCache() *tokenCache {
	tokens, err := lru.New[tokenSum, *cachedToken](maxCachedTokens)
	if err != nil {
		panic(err) // only for a size under 1
	}
	headers, err := lru.New[string, joseHeader](maxCachedHeaders)
	if err != nil {
		panic(err) // only for a size under 1
	}
	return &tokenCache{tokens, headers}
}

// get returns the token with that hash; nil if it is not cached.
func (c *tokenCache) get(sum tokenSum) *cachedToken {
	cached, _ := c.tokens.Get(sum)
	return cached
}

// readToken reads a token's JSON strictly. It is the only reading of a token. A header that is
// cached is not read again.
func (c *tokenCache) readToken(compact string, raw rawToken) (*token, error) {
	t := &token{compact: compact, signature: raw.signature}
	var cached bool
	var err error
	if t.header, cached = c.headers.Get(headerPart(compact)); !cached {
		if t.header, err = readHeader(raw.header); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
	}
	if t.claims, err = readClaims(raw.payload); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return t, nil
}

// add caches a token that passed every check.
func (c *tokenCache) add(sum tokenSum, t *token, key keys.Public) {
	c.tokens.Add(sum, &cachedToken{token{header: t.header, claims: t.claims}, key})
	if header := headerPart(t.compact); !c.headers.Contains(header) {
		c.headers.Add(strings.Clone(header), t.header)
	}
}

// A tokenSum is the SHA-256 of a token.
type tokenSum [sha256.Size]byte

// buffers hold the bytes of tokens while they are hashed. Without them each token would be copied
// to the heap.
var buffers = sync.Pool{New: func() any { return new([maxTokenBytes]byte) }}

func sumToken(compact string) tokenSum {
	buffer := buffers.Get().(*[maxTokenBytes]byte) //nolint:forcetypeassert // nothing else is put in
	used := buffer[:copy(buffer[:], compact)]
	sum := sha256.Sum256(used)
	clear(used)
	buffers.Put(buffer)
	return sum
}
