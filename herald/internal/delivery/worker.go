package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
)

// recordTimeout is how long to try to record a result, which goes on when the job
// is to stop; recordAgain is the pause after each failure.
const (
	recordTimeout = 5 * time.Second
	recordAgain   = 200 * time.Millisecond
)

// A worker delivers notifications.
type worker struct {
	river.WorkerDefaults[herald.Delivery]
	Config
}

// Work makes one attempt. Failures of mail and of Census are results, which it
// records; only what it cannot record is an error of the job.
//
// A job to be worked again is snoozed, which River counts as no attempt: what has
// been tried, and until when to try, is the notification's to say.
func (w *worker) Work(ctx context.Context, job *river.Job[herald.Delivery]) error {
	n, err := w.Store.Take(ctx, job.Args.NotificationID)
	switch {
	case errors.Is(err, herald.ErrNotFound):
		return river.JobCancel(err)
	case err != nil:
		return err
	case n.Status.Over():
		return nil
	}
	attempt := herald.Attempt{StartedAt: time.Now()}
	attempt.Number, err = w.deliver(ctx, n, attempt.StartedAt)
	switch {
	case errors.Is(err, herald.ErrNotQueued):
		return river.JobSnooze(w.Retry.First) // to see then what came of the other
	case attempt.Number == 0 && stopping(ctx):
		return river.JobSnooze(0)
	}
	attempt.Result = w.result(ctx, n, err)
	return w.conclude(ctx, job, n, attempt)
}

// deliver makes one attempt. It returns the number under which the attempt was
// recorded when it came to sending; 0 when it came to nothing before.
func (w *worker) deliver(ctx context.Context, n *herald.Notification, startedAt time.Time) (number int, err error) {
	to, err := w.Census.User(ctx, n.Creator, n.UserID)
	if err != nil {
		return 0, err
	}
	message, err := mail.Compose(n, to)
	if err != nil {
		return 0, err
	}
	conn, err := w.Mail.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	if number, err = w.Store.Begin(ctx, n.ID, startedAt); err != nil {
		return 0, err
	}
	return number, conn.Send(ctx, message)
}

// stopping reports whether the service is about to end, and not just the time of
// the job.
func stopping(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// conclude records the result of an attempt and completes the job, in one
// transaction, or snoozes it until the next attempt.
func (w *worker) conclude(ctx context.Context, job *river.Job[herald.Delivery], n *herald.Notification, a herald.Attempt) error {
	next := w.next(ctx, n, a)
	err := w.record(ctx, n.ID, a, next, func(ctx context.Context, tx pgx.Tx) error {
		if next != nil {
			return nil
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		if errors.Is(err, rivertype.ErrNotFound) {
			return nil // somebody has deleted the job; the result stands
		}
		return err
	})
	if err != nil {
		return err
	}
	w.log(ctx, n, a, next)
	if next == nil {
		return nil
	}
	return river.JobSnooze(max(0, time.Until(*next)))
}

// record records a result, whatever becomes of the job's time: what has happened
// has to be written down. It tries for a while, as a mail whose result is lost is
// sent again.
func (w *worker) record(
	ctx context.Context, id uuid.UUID, a herald.Attempt, next *time.Time, complete func(context.Context, pgx.Tx) error,
) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	for {
		err := w.Store.Conclude(ctx, id, a, next, func(tx pgx.Tx) error { return complete(ctx, tx) })
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(recordAgain):
		}
	}
}

// next returns when to make the next attempt; nil for never.
func (w *worker) next(ctx context.Context, n *herald.Notification, a herald.Attempt) *time.Time {
	now := time.Now()
	switch {
	case a.Outcome == herald.Accepted || a.Outcome == herald.Refused:
		return nil
	case stopping(ctx):
		return &now // whoever is there next
	default:
		return w.Retry.Next(n.CreatedAt, now, len(n.Attempts)+1)
	}
}

func (w *worker) log(ctx context.Context, n *herald.Notification, a herald.Attempt, next *time.Time) {
	log := w.Logger.With(slog.Any("notification", n.ID), slog.Int("attempt", len(n.Attempts)+1),
		slog.String("outcome", string(a.Outcome)), slog.Int("smtp_code", a.SMTPCode), slog.String("detail", a.Detail))
	switch {
	case a.Outcome == herald.Accepted:
		log.InfoContext(ctx, "notification sent")
	case next == nil:
		log.ErrorContext(ctx, "notification failed")
	default:
		log.WarnContext(ctx, "notification put off", slog.Time("until", *next))
	}
}
