package delivery

import (
	"sync"
	"time"
)

const (
	// maxWait is how long a due job may wait for a worker. Deliveries lag when every job that
	// started during lagInterval has waited longer. This is the rule of CoDel (RFC 8289). They also
	// lag when every notification that was accepted during lagInterval had to be queued, which is
	// known earlier.
	maxWait     = 250 * time.Millisecond
	lagInterval = 100 * time.Millisecond
	// lagHold is how long deliveries continue to count as lagging, as the measurements fluctuate.
	lagHold = 500 * time.Millisecond
	// measurementTTL is how long the measurements remain valid without new ones.
	measurementTTL = time.Second
	// slowServer is the threshold above which the mail server counts as slow. Either the average
	// wait for a connection and the average duration of a send both exceed it, or half of the
	// connections in use have been in use for longer.
	slowServer = 200 * time.Millisecond
	// longCPUWait is the mean wait for a CPU above which a slow mail server is no bottleneck: on
	// such a busy machine, each mail server looks slow.
	longCPUWait = 2 * time.Millisecond
	// smoothing is the weight of a new value in a moving average.
	smoothing = 0.1
)

// A Backlog measures whether deliveries keep up with the accepted notifications. It is safe for
// concurrent use. The methods that record measurements do nothing on a nil Backlog.
type Backlog struct {
	busyFor func(time.Duration) bool // see [mail.Sender.BusyFor]
	cpuWait func() time.Duration     // see [CPUWait]

	mu       sync.Mutex
	late     streak    // of jobs
	queued   streak    // of notifications
	laggedAt time.Time // when deliveries lagged last
	done     uint64    // finished jobs
	paused   bool      // the circuit breaker is open
	// Moving averages in seconds: the wait for a connection to the mail server, and the send itself.
	connecting, sending float64
}

// A streak is an unbroken series of bad events: late jobs, or queued notifications.
type streak struct{ since, last time.Time }

// add records an event. A good one ends the streak.
func (s *streak) add(now time.Time, bad bool) {
	switch {
	case !bad:
		s.since = time.Time{}
	case s.since.IsZero() || now.Sub(s.last) >= measurementTTL:
		s.since = now
	}
	s.last = now
}

// long reports whether the streak has lasted for lagInterval and still counts.
func (s *streak) long(now time.Time) bool {
	return !s.since.IsZero() && s.last.Sub(s.since) >= lagInterval && now.Sub(s.last) < measurementTTL
}

// NewBacklog returns an empty Backlog. It is shared by a [Config] and the admission control of new
// notifications. busyFor is the method of the Config's [mail.Sender], and cpuWait is [CPUWait]'s
// result.
func NewBacklog(busyFor func(time.Duration) bool, cpuWait func() time.Duration) *Backlog {
	return &Backlog{busyFor: busyFor, cpuWait: cpuWait}
}

// Lagging reports whether this process accepts more than it delivers. It returns false when the
// mail server is the bottleneck or the circuit breaker is open, as accepting less would not make
// deliveries faster then.
func (b *Backlog) Lagging() bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late.long(now) || b.queued.long(now) {
		b.laggedAt = now
	}
	return now.Sub(b.laggedAt) < lagHold && !b.paused && !b.serverLimits()
}

// serverLimits reports whether the mail server is the bottleneck. The caller must hold mu.
func (b *Backlog) serverLimits() bool {
	slow := min(b.connecting, b.sending) >= slowServer.Seconds() || b.busyFor(slowServer)
	return slow && b.cpuWait() < longCPUWait
}

// Accepted records that a notification was accepted, and whether it was queued because this process
// had no free capacity for it.
func (b *Backlog) Accepted(queued bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued.add(time.Now(), queued)
}

// JobStarted records that a job starts. waited is the time from when the job was due.
func (b *Backlog) JobStarted(waited time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late.add(time.Now(), waited >= maxWait)
}

// SetPaused records whether the circuit breaker is open.
func (b *Backlog) SetPaused(paused bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = paused
	b.late, b.queued, b.laggedAt = streak{}, streak{}, time.Time{}
}

// JobFinished records that a job has ended with an attempt, and not back in the queue.
func (b *Backlog) JobFinished() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
}

// Done returns the number of finished jobs.
func (b *Backlog) Done() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done
}

// MailSent records how long a mail has waited for a connection and how long the send took.
func (b *Backlog) MailSent(connecting, sending time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connecting += smoothing * (connecting.Seconds() - b.connecting)
	b.sending += smoothing * (sending.Seconds() - b.sending)
}
