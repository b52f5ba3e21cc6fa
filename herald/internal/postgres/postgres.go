// Package postgres stores Herald's notifications in PostgreSQL, together with the jobs that deliver
// them. A notification and its job change in one transaction.
//
//	store := postgres.New(pool, postgres.NewProcess())
//	notification, err := store.Create(ctx, herald.Claim{Request: request})
//
// Each notification has one job, at least until its status is final. The job's state and the
// notification's change together:
//
//	     fetch, CreateStarted           Conclude: accepted
//	queued ─────────────▶ sending ───────────────────────▶ sent
//	available ◀────────── running ───────────────────────▶ failed
//	   Conclude: deferred, unknown      Conclude: refused, or too late to try again
//	   HandBack, Abandon
//
// Sent and failed are final, and their job is completed. A notification that is queued has an
// available job, which is fetched when its time has come. Sending is not stored: a notification is
// being sent while its job is running.
//
// The durable record that an execution may have begun is a fetch, which River makes, or
// CreateStarted, when the process that accepts a notification delivers it at once. Job, number,
// process and time are a fencing token ([Execution]): each later write about the execution has them
// in its condition, so that an execution that has lost its job changes nothing. The executions that
// end without a result are of three kinds:
//
//   - HandBack: nothing was attempted. The execution leaves no trace, and the next one has its number.
//   - Abandon: its process is gone. An attempt of unknown outcome is recorded, and the notification is
//     marked a possible duplicate.
//   - River's own rescue records nothing. The numbers of the executions have a gap then, and the next
//     Conclude that finds one marks the notification.
package postgres

import (
	"context"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/micromachine/pkg/batch"
	"example.com/micromachine/pkg/svcauth/pgreplay"
)

// maxAttempts is the bound of River on a job's executions. It is so high that River never gives up;
// Herald decides when to give up.
const maxAttempts = 1000

// A Store is Herald's storage. It is safe for concurrent use.
type Store struct {
	pool        *pgxpool.Pool
	process     string
	accepts     *batch.Group[acceptance, accepted]
	conclusions *batch.Group[Conclusion, Concluded]
}

// New returns a store in the pool's database, which migrations.Up must have migrated. process is
// the name under which the store claims jobs and keys. No other process may ever have the same
// name.
func New(pool *pgxpool.Pool, process string) *Store {
	s := &Store{pool: pool, process: process}
	s.accepts = batch.New(batch.Config[acceptance, accepted]{Run: s.accept, Rejected: isRowError})
	s.conclusions = batch.New(batch.Config[Conclusion, Concluded]{Run: s.conclude, Rejected: isRowError})
	return s
}

// NewProcess returns a unique name for this process: the name of the host, for people who read the
// tables, and a UUID.
func NewProcess() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%.60s-%s", host, uuid.New())
}

// Ready returns nil when the database has its schema and accepts writes.
func (s *Store) Ready(ctx context.Context) error {
	return pgreplay.TryWrite(ctx, s.pool,
		"notifications", "attempts", "idempotency_keys", "river_job", "river_queue", "river_leader")
}
