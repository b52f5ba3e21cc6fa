package delivery

import (
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"example.com/micromachine/herald"
)

// Bounds on what is handed over: how many notifications, and for how long Census's answer counts.
const (
	maxHandedOver = 4096
	handoverAge   = 3 * time.Second
)

// A Handover takes a notification that has just been accepted, with what Census said of its user,
// to the worker of the same process. A mail that goes out within three seconds needs no second
// look-up. It is safe for concurrent use.
type Handover struct {
	cache *lru.Cache[uuid.UUID, lookup]
}

// A lookup is a notification with what Census lets its creator see of the user.
type lookup struct {
	notification *herald.Notification
	recipient    herald.Recipient
	at           time.Time // when Census was asked
}

// fresh reports whether Census's answer still counts.
func (l lookup) fresh() bool { return time.Since(l.at) < handoverAge }

// NewHandover returns a handover.
func NewHandover() *Handover {
	cache, err := lru.New[uuid.UUID, lookup](maxHandedOver)
	if err != nil {
		panic(err) // a size under 1, which it is not
	}
	return &Handover{cache}
}

// Offer hands over a notification that has been committed, and what Census said of the user at a time.
func (h *Handover) Offer(n *herald.Notification, recipient herald.Recipient, at time.Time) {
	h.cache.Add(n.ID, lookup{n, recipient, at})
}

// take returns what was offered for a notification, once.
func (h *Handover) take(id uuid.UUID) (lookup, bool) {
	l, ok := h.cache.Peek(id)
	if ok {
		h.cache.Remove(id)
	}
	return l, ok && l.fresh()
}
