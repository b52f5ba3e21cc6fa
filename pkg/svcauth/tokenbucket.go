package svcauth

import "time"

// A tokenBucket limits how often something is done: each time takes a token, and one is added every
// interval, up to size. It is full at first. golang.org/x/time/rate does more, and would be one
// more module for whoever imports this package.
type tokenBucket struct {
	size     float64
	interval time.Duration

	tokens float64
	at     time.Time // when tokens was right
}

// take takes a token, unless no more than reserve would be left without it. A clock that is set
// back adds no tokens.
func (b *tokenBucket) take(now time.Time, reserve float64) bool {
	added := float64(max(now.Sub(b.at), 0)) / float64(b.interval)
	b.tokens, b.at = min(b.size, b.tokens+added), now
	if b.tokens < reserve+1 {
		return false
	}
	b.tokens--
	return true
}
