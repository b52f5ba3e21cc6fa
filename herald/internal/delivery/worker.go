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

// How the database is tried again when it fails: recordTimeout is how long, when the service is to
// stop. Until then it is tried for as long as it takes, as a mail whose result is lost is sent again.
const (
	recordTimeout = 5 * time.Second
	recordBackoff = 200 * time.Millisecond
	failureLogGap = 5 * time.Second
)

var (
	// errPutOff says that an execution ends without an attempt.
	errPutOff = errors.New("put off")
	// errTrouble says that a mail was not sent, as the mail server takes none.
	errTrouble = errors.New("the mail server is in trouble")
)

// A worker delivers notifications.
type worker struct {
	river.WorkerDefaults[herald.Delivery]
	Config

	breaker    *breaker
	executions *executions
	fetched    atomic.Int64    // executions under way that were fetched
	stopping   context.Context //nolint:containedctx // ends when the service is to stop, before its grace
}

// Timeout implements [river.Worker]. Every step has a bound of its own, but for the wait for a mail
// server that takes no mail.
func (w *worker) Timeout(*river.Job[herald.Delivery]) time.Duration { return -1 }

// Work executes a job that was fetched. River is never told of an error: what has been tried, and
// when to try again, is the notification's to say.
func (w *worker) Work(ctx context.Context, job *river.Job[herald.Delivery]) error {
	w.fetched.Add(1)
	defer w.fetched.Add(-1)
	if job.Attempt == 1 { // others may have been executed before, in the time since they were due
		w.Backlog.Begun(job.AttemptedAt.Sub(job.ScheduledAt))
	}
	e := postgres.Execution{Job: job.ID, Number: job.Attempt, Process: w.Process, StartedAt: *job.AttemptedAt}
	n := &herald.Notification{ID: job.Args.NotificationID} // to be loaded
	w.execute(ctx, e, lookup{notification: n})
	return nil
}

// execute makes one attempt and records its result. A notification whose lookup has no time is
// loaded first.
func (w *worker) execute(ctx context.Context, e postgres.Execution, l lookup) {
	if !w.executions.begin(e.Job, e.StartedAt) {
		return // it was given up, as the database's reply came too late
	}
	defer w.executions.end(e.Job, e.StartedAt)
	defer w.Backlog.Ended()
	id := l.notification.ID
	n, result, err := w.attempt(ctx, l)
	switch {
	case errors.Is(err, herald.ErrNotFound):
		w.record(ctx, id, func(ctx context.Context) error { return w.Store.Discard(ctx, e, true) })
	case errors.Is(err, errPutOff):
		pause := time.Duration(0)
		if busy, ok := errors.AsType[*mail.BusyError](err); ok {
			pause = busy.RetryAfter
		}
		w.record(ctx, id, func(ctx context.Context) error { return w.Store.HandBack(ctx, e, pause) })
	case n.Status.Over():
		w.record(ctx, id, func(ctx context.Context) error { return w.Store.Discard(ctx, e, false) })
	default:
		w.conclude(ctx, e, n, result)
	}
}

// attempt makes one attempt. Its errors are herald.ErrNotFound and errPutOff. A notification that
// is over is returned as it is.
func (w *worker) attempt(ctx context.Context, l lookup) (n *herald.Notification, result herald.Result, err error) {
	id := l.notification.ID
	defer func() {
		if cause := recover(); cause != nil {
			w.Logger.ErrorContext(ctx, "delivery panicked", slog.Any("notification", id), slog.Any("panic", fmt.Errorf("%v", cause)),
				slog.Any("stack", strings.Split(string(debug.Stack()), "\n")))
			n, err = &herald.Notification{ID: id, Status: herald.Queued}, nil
			result = herald.Result{Outcome: herald.Unknown, Detail: brokenDetail}
		}
	}()
	if l.at.IsZero() {
		if l.notification, err = w.load(ctx, id); err != nil || l.notification.Status.Over() {
			return l.notification, result, err
		}
	}
	err = w.deliver(ctx, &l)
	if errors.Is(err, errPutOff) {
		return l.notification, result, err
	}
	return l.notification, w.result(ctx, l.notification, err), nil
}

// load reads a notification, for as long as the database takes.
func (w *worker) load(ctx context.Context, id uuid.UUID) (n *herald.Notification, err error) {
	for {
		n, err = w.Store.Pending(ctx, id)
		if err == nil || errors.Is(err, herald.ErrNotFound) {
			return n, err
		}
		select {
		case <-w.stopping.Done():
			return nil, errPutOff
		case <-time.After(recordBackoff):
		}
	}
}

// deliver sends the mail once the mail server takes mail.
func (w *worker) deliver(ctx context.Context, l *lookup) error {
	for {
		if err := w.lookUp(ctx, l); err != nil {
			return err
		}
		message, err := mail.Compose(l.notification, l.recipient)
		if err != nil {
			return err
		}
		probe, err := w.breaker.enter(w.stopping)
		if err != nil {
			return errPutOff
		}
		if !l.fresh() { // it was a long wait
			w.breaker.left(probe)
			continue
		}
		if err = w.trySend(ctx, probe, message); !errors.Is(err, errTrouble) {
			return err
		}
	}
}

// trySend sends a message and tells the breaker what that says of the mail server, whatever happens.
// The error is errTrouble when the server is in trouble.
func (w *worker) trySend(ctx context.Context, probe int, message *mail.Message) error {
	defer w.breaker.left(probe) // of no effect once it has been told
	err := w.send(ctx, message)
	failure, failed := errors.AsType[*mail.Error](err)
	_, busy := errors.AsType[*mail.BusyError](err)
	switch {
	case err == nil:
		w.breaker.passed()
	case busy:
		return fmt.Errorf("%w: %w", errPutOff, err)
	case ctx.Err() != nil && (!failed || failure.Server): // the service stops, and nothing was sent
		return errPutOff
	case failed && failure.Server:
		w.breaker.tripped(probe, failure)
		return errTrouble
	case failed && failure.Code != 0:
		w.breaker.passed() // it answered about this mail
	}
	return err
}

// lookUp asks Census for the user, unless it has just been asked.
func (w *worker) lookUp(ctx context.Context, l *lookup) (err error) {
	if l.fresh() {
		return nil
	}
	l.at = time.Now()
	l.recipient, err = w.Census.User(ctx, l.notification.Creator, l.notification.UserID)
	if err != nil && w.stopping.Err() != nil && ctx.Err() != nil {
		return errPutOff
	}
	return err
}

// send sends a message. An error that is no [*mail.Error] is ctx's, and nothing was sent.
func (w *worker) send(ctx context.Context, message *mail.Message) error {
	start := time.Now()
	conn, err := w.Mail.Connect(ctx, message.Domain())
	if err != nil {
		return err
	}
	defer conn.Release()
	connected := time.Now()
	err = conn.Send(ctx, message)
	w.Backlog.Sent(connected.Sub(start), time.Since(connected))
	return err
}

// conclude records the result of an attempt, which ends the job or puts it off.
func (w *worker) conclude(ctx context.Context, e postgres.Execution, n *herald.Notification, result herald.Result) {
	c := postgres.Conclusion{
		Execution: e, NotificationID: n.ID, Result: result,
		RetryAfter: w.Retry.Pause(e.Number), GiveUpAfter: w.Retry.GiveUp,
	}
	if ctx.Err() != nil { // cut short: whoever is there next goes on at once
		c.RetryAfter = 0
	}
	var concluded postgres.Concluded
	recorded := w.record(ctx, n.ID, func(ctx context.Context) (err error) {
		concluded, err = w.Store.Conclude(ctx, c)
		return err
	})
	if recorded {
		w.log(ctx, c, concluded)
	}
}

// record writes what has happened, whatever becomes of the job's time. It tries until it succeeds
// or, when the service is to stop, for a while; what is not recorded then is found by the others.
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
			w.Logger.ErrorContext(ctx, "the result of a delivery cannot be recorded", slog.Any("notification", id), slog.Any("error", err))
		}
		if w.stopping.Err() != nil {
			if deadline.IsZero() {
				deadline = now.Add(recordTimeout)
			} else if now.After(deadline) {
				return false
			}
		}
		time.Sleep(recordBackoff) //nolint:forbidigo // bounded, and nothing is to be done before
	}
}

func (w *worker) log(ctx context.Context, c postgres.Conclusion, concluded postgres.Concluded) {
	log := w.Logger.With(slog.Any("notification", c.NotificationID), slog.Int("attempt", c.Number),
		slog.String("outcome", string(c.Outcome)), slog.Int("smtp_code", c.SMTPCode), slog.String("detail", c.Detail))
	switch {
	case !concluded.Owned:
		log.WarnContext(ctx, "the result is recorded already, or another process has taken the delivery over")
	case concluded.NextAttemptAt != nil:
		log.WarnContext(ctx, "notification put off", slog.Time("until", *concluded.NextAttemptAt))
	case concluded.Status == herald.Failed:
		log.ErrorContext(ctx, "notification failed")
	default:
		log.InfoContext(ctx, "notification sent")
	}
}
