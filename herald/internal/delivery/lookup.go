package delivery

import (
	"time"

	"example.com/micromachine/herald"
)

// lookupAge is how long Census's answer about a user counts.
const lookupAge = 3 * time.Second

// A lookup is a notification with what Census lets its creator see of the user.
type lookup struct {
	notification *herald.Notification
	recipient    herald.Recipient
	at           time.Time // when Census was asked
}

// fresh reports whether Census's answer still counts.
func (l lookup) fresh() bool { return time.Since(l.at) < lookupAge }
