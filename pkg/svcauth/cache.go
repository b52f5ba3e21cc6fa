package svcauth

import (
	"crypto/sha256"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"example.com/micromachine/pkg/svcauth/keys"
)

const (
	// maxSeenTokens bounds the memory that verified tokens take: under 10 MB, unless their URLs are long; 50 MB at the most.
	maxSeenTokens = 8192
	// maxSeenHeaders bounds that of their headers, of which each key has one, or a few.
	maxSeenHeaders = 256
)

// seenTokens remembers read tokens that have passed every check, so that their signature need not be verified again. What
// may have changed since, from the clock and the trust file to the request, is checked at every use. Tokens that work
// once are not kept. The keys are hashes: no credential lies in memory for longer than its request. The headers, which many
// tokens have in common, are remembered as they were sent, and what they say.
type seenTokens struct {
	tokens  *lru.Cache[tokenSum, *seenToken]
	headers *lru.Cache[string, joseHeader]
}

// A seenToken is what a token says, and the key that proved it.
type seenToken struct {
	token token
	key   keys.Public
}

func newSeenTokens() *seenTokens {
	tokens, err := lru.New[tokenSum, *seenToken](maxSeenTokens)
	if err != nil {
		panic(err) // a size under 1, which it is not
	}
	headers, err := lru.New[string, joseHeader](maxSeenHeaders)
	if err != nil {
		panic(err) // the same
	}
	return &seenTokens{tokens, headers}
}

func (s *seenTokens) get(sum tokenSum) *seenToken {
	seen, _ := s.tokens.Get(sum)
	return seen
}

// header returns what the header of a token says, where one like it has been read in another.
func (s *seenTokens) header(compact string) (joseHeader, bool) {
	return s.headers.Get(headerPart(compact))
}

func (s *seenTokens) add(sum tokenSum, t *token, key keys.Public) {
	s.tokens.Add(sum, &seenToken{token{header: t.header, claims: t.claims}, key})
	if !t.headerSeen {
		s.headers.Add(strings.Clone(headerPart(t.compact)), t.header)
	}
}

// A tokenSum is the SHA-256 of a token and stands for it.
type tokenSum [sha256.Size]byte

// buffers hold the bytes of tokens while they are hashed, which would otherwise be copied to the heap at every call.
var buffers = sync.Pool{New: func() any { return new([maxTokenBytes]byte) }}

func sumToken(compact string) tokenSum {
	buffer := buffers.Get().(*[maxTokenBytes]byte) //nolint:forcetypeassert // nothing else is put in
	used := buffer[:copy(buffer[:], compact)]
	sum := sha256.Sum256(used)
	clear(used)
	buffers.Put(buffer)
	return sum
}
