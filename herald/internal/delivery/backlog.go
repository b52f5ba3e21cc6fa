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
	// slowServer is the threshold above which the mail server counts as slow. Either the average
	// wait for a connection and the average duration of a send both exceed it, or half of the
	// connections in use have been in use for longer.
	slowServer = 100 * time.Millisecond
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

	mu        sync.Mutex
	lateSince time.Time // the start of the unbroken series of late jobs; zero: the last job was not late
	lastJob   time.Time // when a job started last
	laggedAt  time.Time // when deliveries lagged last
	done      uint64    // finished jobs
	paused    bool      // the circuit breaker is open
	// Moving averages in seconds: the wait for a connection to the mail server, and the send itself.
	connecting, sending float64
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
	slow := min(b.connecting, b.sending) >= slowServer.Seconds() || b.busyFor(slowServer)
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
