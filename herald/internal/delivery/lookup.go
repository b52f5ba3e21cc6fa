package delivery

import (
	"time"

	"example.com/micromachine/herald"
)

// lookupAge is how long an answer of Census may be used.
const lookupAge = 3 * time.Second

// A lookup is a notification with its recipient, for one execution.
type lookup struct {
	notification *herald.Notification
	recipient    herald.Recipient
	at           time.Time // when Census was asked; zero before the first request
	onWait       func()    // called before a wait for the circuit breaker
}

// fresh reports whether Census's answer may still be used.
func (l lookup) fresh() bool { return time.Since(l.at) < lookupAge }
