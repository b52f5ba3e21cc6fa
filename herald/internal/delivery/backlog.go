package delivery

import (
	"sync"
	"time"
)

const (
	// maxWait is how long a due job may wait for a worker. When all have waited longer for lagInterval, the deliveries
	// lag (the rule of CoDel, RFC 8289).
	maxWait     = 500 * time.Millisecond
	lagInterval = 100 * time.Millisecond
	// quietTime is how long what was measured counts when no job begins.
	quietTime = time.Second
	// slowServer is how long mails wait for a connection, and then take, when it is the mail server that takes no more
	// mails at a time.
	slowServer = 200 * time.Millisecond
	// smoothing is the weight of a new value in a moving average.
	smoothing = 0.1
)

// A Backlog measures whether deliveries keep up with what is accepted. It is safe for concurrent use. A nil Backlog
// measures nothing.
type Backlog struct {
	mu        sync.Mutex
	lateSince time.Time // when the first of the jobs began that have all waited too long; zero for none
	lastBegun time.Time
	done      uint64 // jobs that have ended
	paused    bool   // the circuit breaker is open
	// Moving averages, in seconds: how long mails wait for a connection to the mail server, and then take.
	connecting, sending float64
}

// NewBacklog returns a Backlog for a Config, and for those who accept notifications.
func NewBacklog() *Backlog { return &Backlog{} }

// Lagging reports whether more is accepted than this service can deliver: jobs that are due wait too long for a worker,
// and it is not the mail server they wait for. To accept less would not make that any faster.
func (b *Backlog) Lagging() bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	late := !b.lateSince.IsZero() && now.Sub(b.lateSince) >= lagInterval && now.Sub(b.lastBegun) < quietTime
	return late && !b.paused && min(b.connecting, b.sending) < slowServer.Seconds()
}

// Begun notes that a job begins which has waited for a worker.
func (b *Backlog) Begun(waited time.Duration) {
	if b == nil {
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case waited < maxWait:
		b.lateSince = time.Time{}
	case b.lateSince.IsZero() || now.Sub(b.lastBegun) >= quietTime:
		b.lateSince = now
	}
	b.lastBegun = now
}

// Paused notes whether the circuit breaker keeps mails from being sent. Jobs wait for the mail server
// then, and more of them wait no longer.
func (b *Backlog) Paused(paused bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused, b.lateSince = paused, time.Time{}
}

// Ended notes that a job has ended.
func (b *Backlog) Ended() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
}

// Done returns how many jobs have ended.
func (b *Backlog) Done() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done
}

// Sent notes how long a mail has waited for a connection, and how long it took then.
func (b *Backlog) Sent(connecting, sending time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connecting += smoothing * (connecting.Seconds() - b.connecting)
	b.sending += smoothing * (sending.Seconds() - b.sending)
}
