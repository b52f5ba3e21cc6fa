package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/herald/internal/postgres"
)

// The timing of writes to the database. A write is retried until it succeeds, as a mail whose
// result is lost is sent again. When the service stops, the retries end after recordTimeout.
const (
	recordTimeout = 5 * time.Second
	recordBackoff = 200 * time.Millisecond
	failureLogGap = 5 * time.Second
)

var (
	// errPostponed says that an execution ends without an attempt.
	errPostponed = errors.New("the attempt is postponed")
	// errServerFault says that a mail was not sent because the mail server accepts no mail.
	errServerFault = errors.New("the mail server accepts no mail")
)

// A worker executes jobs. It is safe for concurrent use.
type worker struct {
	river.WorkerDefaults[herald.Delivery]
	Config

	breaker    *breaker
	executions *executions
	fetched    atomic.Int64    // running executions of fetched jobs
	stopping   context.Context //nolint:containedctx // ends when the service starts to stop, before the grace period
}

// Timeout implements [river.Worker]. It returns no limit: each step has its own limit, except the
// wait for the circuit breaker.
func (w *worker) Timeout(*river.Job[herald.Delivery]) time.Duration { return -1 }

// Work executes a fetched job. It returns no error to River, as the notification itself records the
// attempts and the time of the next one.
func (w *worker) Work(ctx context.Context, job *river.Job[herald.Delivery]) error {
	w.fetched.Add(1)
	defer w.fetched.Add(-1)
	if job.Attempt == 1 { // later attempts may have waited for other reasons than a busy worker
		w.Backlog.JobStarted(job.AttemptedAt.Sub(job.ScheduledAt))
	}
	e := postgres.Execution{Job: job.ID, Number: job.Attempt, Process: w.Process, StartedAt: *job.AttemptedAt}
	n := &herald.Notification{ID: job.Args.NotificationID} // execute loads the rest
	w.execute(ctx, e, lookup{notification: n, onWait: func() {}})
	return nil
}

// execute makes one attempt and records its result. It loads the notification first when l.at is
// zero.
func (w *worker) execute(ctx context.Context, e postgres.Execution, l lookup) {
	if !w.executions.begin(e.Job, e.StartedAt) {
		return // given up, as the database replied late
	}
	defer w.executions.end(e.Job, e.StartedAt)
	id := l.notification.ID
	n, result, err := w.attempt(ctx, l)
	if errors.Is(err, errPostponed) {
		w.handBack(ctx, e, id, err)
		return
	}
	defer w.Backlog.JobFinished()
	switch {
	case errors.Is(err, herald.ErrNotFound):
		w.record(ctx, id, func(ctx context.Context) error { return w.Store.Discard(ctx, e, true) })
	case n.Status.Final():
		w.record(ctx, id, func(ctx context.Context) error { return w.Store.Discard(ctx, e, false) })
	default:
		w.conclude(ctx, e, n, result)
	}
}

// handBack returns a job without an attempt to the queue. cause wraps errPostponed.
func (w *worker) handBack(ctx context.Context, e postgres.Execution, id uuid.UUID, cause error) {
	pause := time.Duration(0)
	if busy, ok := errors.AsType[*mail.BusyError](cause); ok {
		pause = busy.RetryAfter
	}
	w.record(ctx, id, func(ctx context.Context) error { return w.Store.HandBack(ctx, e, pause) })
}

// attempt makes one attempt. The error is herald.ErrNotFound, errPostponed or nil. A notification
// that is sent or failed is returned unchanged.
func (w *worker) attempt(ctx context.Context, l lookup) (n *herald.Notification, result herald.Result, err error) {
	id := l.notification.ID
	defer func() {
		if cause := recover(); cause != nil {
			w.Logger.ErrorContext(ctx, "delivery panicked", slog.Any("notification", id),
				slog.Any("panic", fmt.Errorf("%v", cause)),
				slog.Any("stack", strings.Split(string(debug.Stack()), "\n")))
			n, err = &herald.Notification{ID: id, Status: herald.Queued}, nil
			result = herald.Result{Outcome: herald.Unknown, Detail: internalDetail}
		}
	}()
	if l.at.IsZero() {
		if l.notification, err = w.load(ctx, id); err != nil || l.notification.Status.Final() {
			return l.notification, result, err
		}
	}
	err = w.deliver(ctx, &l)
	if errors.Is(err, errPostponed) {
		return l.notification, result, err
	}
	return l.notification, w.result(ctx, l.notification, err), nil
}

// load reads a notification. It retries until the database answers or the service stops.
func (w *worker) load(ctx context.Context, id uuid.UUID) (n *herald.Notification, err error) {
	for {
		n, err = w.Store.Pending(ctx, id)
		if err == nil || errors.Is(err, herald.ErrNotFound) {
			return n, err
		}
		select {
		case <-w.stopping.Done():
			return nil, errPostponed
		case <-time.After(recordBackoff):
		}
	}
}

// deliver sends the mail. It waits while the circuit breaker is open.
func (w *worker) deliver(ctx context.Context, l *lookup) error {
	for {
		if err := w.lookUp(ctx, l); err != nil {
			return err
		}
		message, err := mail.Compose(l.notification, l.recipient)
		if err != nil {
			return err
		}
		probe, err := w.breaker.acquire(w.stopping, l.onWait)
		if err != nil {
			return errPostponed
		}
		if !l.fresh() { // the wait for the breaker was long
			w.breaker.canceled(probe)
			continue
		}
		if err = w.trySend(ctx, probe, message); !errors.Is(err, errServerFault) {
			return err
		}
	}
}

// trySend sends a message and reports the result to the circuit breaker. The error is
// errServerFault when the fault concerns all mail.
func (w *worker) trySend(ctx context.Context, probe int, message *mail.Message) error {
	defer w.breaker.canceled(probe) // has no effect after another report
	err := w.send(ctx, message)
	failure, failed := errors.AsType[*mail.Error](err)
	_, busy := errors.AsType[*mail.BusyError](err)
	switch {
	case err == nil:
		w.breaker.succeeded()
	case busy:
		return fmt.Errorf("%w: %w", errPostponed, err)
	case ctx.Err() != nil && (!failed || failure.Server): // interrupted by the stop; nothing was sent
		return errPostponed
	case failed && failure.Server:
		w.breaker.failed(probe, failure)
		return errServerFault
	case failed && failure.Code != 0:
		w.breaker.succeeded() // the server works; it refused this mail alone
	}
	return err
}

// lookUp fetches the recipient from Census, unless the last answer is fresh.
func (w *worker) lookUp(ctx context.Context, l *lookup) error {
	if l.fresh() {
		return nil
	}
	l.at = time.Now()
	user, err := w.Census.User(ctx, l.notification.Creator, l.notification.UserID)
	if err != nil && w.stopping.Err() != nil && ctx.Err() != nil {
		return errPostponed
	}
	l.recipient = herald.Recipient(user)
	return err
}

// send sends a message. An error that is neither a [*mail.Error] nor a [*mail.BusyError] is ctx's,
// and nothing was sent.
func (w *worker) send(ctx context.Context, message *mail.Message) error {
	start := time.Now()
	conn, err := w.Mail.Connect(ctx, message.Domain())
	if err != nil {
		return err
	}
	defer conn.Release()
	w.Backlog.Connected(time.Since(start))
	return conn.Send(ctx, message)
}

// conclude records the result of an attempt. This completes the job or schedules the next attempt.
func (w *worker) conclude(ctx context.Context, e postgres.Execution, n *herald.Notification, result herald.Result) {
	c := postgres.Conclusion{
		Execution: e, NotificationID: n.ID, Result: result,
		RetryAfter: w.Retry.Pause(e.Number), GiveUpAfter: w.Retry.GiveUp,
	}
	if ctx.Err() != nil { // interrupted: the next process continues at once
		c.RetryAfter = 0
	}
	var concluded postgres.Concluded
	recorded := w.record(ctx, n.ID, func(ctx context.Context) (err error) {
		concluded, err = w.Store.Conclude(ctx, c)
		return err
	})
	if recorded {
		w.logResult(ctx, c, concluded)
	}
}

// record calls write until it succeeds, even after ctx has ended. When the service stops, it gives
// up after recordTimeout and returns false. Other processes then recover the job.
func (w *worker) record(ctx context.Context, id uuid.UUID, write func(context.Context) error) (recorded bool) {
	ctx = context.WithoutCancel(ctx)
	var logged, deadline time.Time
	for {
		attempt, cancel := context.WithTimeout(ctx, recordTimeout)
		err := write(attempt)
		cancel()
		if err == nil {
			return true
		}
		now := time.Now()
		if now.Sub(logged) >= failureLogGap {
			logged = now
			w.Logger.ErrorContext(ctx, "the result of a delivery cannot be recorded", slog.Any("notification", id),
				slog.Any("error", err))
		}
		if w.stopping.Err() != nil {
			if deadline.IsZero() {
				deadline = now.Add(recordTimeout)
			} else if now.After(deadline) {
				return false
			}
		}
		time.Sleep(recordBackoff) //nolint:forbidigo // a short, bounded pause
	}
}

// logResult logs the result of an attempt.
func (w *worker) logResult(ctx context.Context, c postgres.Conclusion, concluded postgres.Concluded) {
	log := w.Logger.With(slog.Any("notification", c.NotificationID), slog.Int("attempt", c.Number),
		slog.String("outcome", string(c.Outcome)), slog.Int("smtp_code", c.SMTPCode), slog.String("detail", c.Detail))
	switch {
	case !concluded.Owned:
		log.WarnContext(ctx, "result not recorded: the execution no longer owns the job")
	case concluded.NextAttemptAt != nil:
		log.WarnContext(ctx, "notification deferred", slog.Time("until", *concluded.NextAttemptAt))
	case concluded.Status == herald.Failed:
		log.ErrorContext(ctx, "notification failed")
	default:
		log.InfoContext(ctx, "notification sent")
	}
}
