package keyset

import "time"

// A tokenBucket limits how often something is done. Each time takes a token. One token is added
// every interval, up to size. The bucket is full at first. golang.org/x/time/rate would do, but
// would be one more module for everybody who imports svcauth.
type tokenBucket struct {
	size     float64
	interval time.Duration

	tokens float64
	at     time.Time // when tokens was last updated
}

// take takes a token, unless fewer than reserve would be left, and reports whether it did. A clock
// that is set back adds no tokens.
func (b *tokenBucket) take(now time.Time, reserve float64) bool {
	added := float64(max(now.Sub(b.at), 0)) / float64(b.interval)
	b.tokens, b.at = min(b.size, b.tokens+added), now
	if b.tokens < reserve+1 {
		return false
	}
	b.tokens--
	return true
}
