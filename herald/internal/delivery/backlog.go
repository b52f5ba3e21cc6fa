package delivery

import (
	"sync"
	"time"
)

const (
	// maxWait is how long a due job may wait for a worker. Deliveries lag when every job that
	// started during lagInterval has waited longer. This is the rule of CoDel (RFC 8289).
	maxWait     = 250 * time.Millisecond
	lagInterval = 100 * time.Millisecond
	// lagHold is how long deliveries continue to count as lagging, as the measurements fluctuate.
	lagHold = 500 * time.Millisecond
	// measurementTTL is how long the measurements remain valid without new ones.
	measurementTTL = time.Second
	// longConnWait is the wait for a connection to the mail server above which the mail server may
	// be the bottleneck: either mails wait longer on average, or half of the connections in use have
	// been in use for longer.
	longConnWait = 100 * time.Millisecond
	// longCPUWait is the mean wait for a CPU above which the mail server is not the bottleneck: on
	// such a busy machine, each mail server looks slow.
	longCPUWait = 1500 * time.Microsecond
	// smoothing is the weight of a new value in a moving average.
	smoothing = 0.1
)

// A Backlog measures whether deliveries keep up with the accepted notifications. It is safe for
// concurrent use. The methods that record measurements do nothing on a nil Backlog.
type Backlog struct {
	busyFor func(time.Duration) bool // see [mail.Sender.BusyFor]
	cpuWait func() time.Duration     // see [CPUWait]

	mu        sync.Mutex
	lateSince time.Time // the start of the unbroken series of late jobs; zero: the last job was not late
	lastJob   time.Time // when a job started last
	laggedAt  time.Time // when deliveries lagged last
	done      uint64    // finished jobs
	paused    bool      // the circuit breaker is open
	connWait  float64   // the wait for a connection to the mail server: a moving average in seconds
}

// NewBacklog returns an empty Backlog. It is shared by a [Config] and the admission control of new
// notifications. busyFor is the method of the Config's [mail.Sender], and cpuWait is [CPUWait]'s
// result.
func NewBacklog(busyFor func(time.Duration) bool, cpuWait func() time.Duration) *Backlog {
	return &Backlog{busyFor: busyFor, cpuWait: cpuWait}
}

// Lagging reports whether jobs wait too long for a worker.
func (b *Backlog) Lagging() bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.lateSince.IsZero() && b.lastJob.Sub(b.lateSince) >= lagInterval && now.Sub(b.lastJob) < measurementTTL {
		b.laggedAt = now
	}
	return now.Sub(b.laggedAt) < lagHold
}

// Stalled reports whether the mail server is the bottleneck or the circuit breaker is open, so that
// accepting less would not make deliveries faster.
func (b *Backlog) Stalled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused {
		return true
	}
	slow := b.connWait >= longConnWait.Seconds() || b.busyFor(longConnWait)
	return slow && b.cpuWait() < longCPUWait
}

// JobStarted records that a job starts. waited is the time from when the job was due.
func (b *Backlog) JobStarted(waited time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case waited < maxWait:
		b.lateSince = time.Time{}
	case b.lateSince.IsZero() || now.Sub(b.lastJob) >= measurementTTL:
		b.lateSince = now
	}
	b.lastJob = now
}

// SetPaused records whether the circuit breaker is open.
func (b *Backlog) SetPaused(paused bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = paused
	b.lateSince, b.laggedAt = time.Time{}, time.Time{}
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

// Connected records how long a mail has waited for a connection to the mail server.
func (b *Backlog) Connected(waited time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connWait += smoothing * (waited.Seconds() - b.connWait)
}
