package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/postgres"
)

// The ways in which an execution ends.
type end int

const (
	running end = iota
	concluded
	abandoned
	handedBack
	rescued // by River itself, which records nothing
)

// A modelExecution is an execution in the model.
type modelExecution struct {
	postgres.Execution
	end     end
	unknown bool // whether it was concluded as unknown
}

// A modelNotification is a notification in the model.
type modelNotification struct {
	id         uuid.UUID
	status     herald.Status // never herald.Sending
	executions []*modelExecution
}

func (n *modelNotification) last() *modelExecution {
	if len(n.executions) == 0 {
		return nil
	}
	return n.executions[len(n.executions)-1]
}

// owner returns the execution in progress, or nil.
func (n *modelNotification) owner() *modelExecution {
	if e := n.last(); e != nil && e.end == running {
		return e
	}
	return nil
}

// recorded returns the number of attempts whose end is recorded.
func (n *modelNotification) recorded() (count int) {
	for _, e := range n.executions {
		if e.end == concluded || e.end == abandoned {
			count++
		}
	}
	return count
}

// marked reports whether the notification is a possible duplicate: an attempt is unknown, or an
// attempt ended after an execution of which nothing is recorded.
func (n *modelNotification) marked() bool {
	lost := false
	for _, e := range n.executions {
		switch {
		case e.end == rescued:
			lost = true
		case e.end == abandoned || e.end == concluded && (e.unknown || lost):
			return true
		}
	}
	return false
}

// A machine applies each operation to the store and to the model.
type machine struct {
	t             *testing.T
	store         *postgres.Store
	pool          *pgxpool.Pool
	notifications []*modelNotification
}

var (
	owners   = rapid.SampledFrom([]string{"a", "b", "c"})
	outcomes = rapid.SampledFrom([]herald.Outcome{herald.Accepted, herald.Refused, herald.Deferred, herald.Unknown})
	pauses   = rapid.SampledFrom([]time.Duration{0, 0, 0, 25 * time.Hour}) // the last one exceeds giveUp
)

// giveUp is the GiveUpAfter of all conclusions.
const giveUp = 24 * time.Hour

// TestStateMachine runs random sequences of operations, including those of executions that no
// longer own their job. It compares the store with the state diagram in the package documentation.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	_, pool := start(t)
	store := postgres.New(pool, "a")
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{t: t, store: store, pool: pool}
		m.create(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"create":   m.create,
			"start":    m.createStarted,
			"fetch":    m.fetch,
			"conclude": m.conclude,
			"handBack": m.handBack,
			"discard":  m.discard,
			"abandon":  m.abandon,
			"rescue":   m.rescue,
			"":         m.check,
		})
	})
}

func (m *machine) create(*rapid.T) {
	m.notifications = append(m.notifications, &modelNotification{id: create(m.t, m.store).ID, status: herald.Queued})
}

func (m *machine) createStarted(rt *rapid.T) {
	n, e, err := m.store.CreateStarted(m.t.Context(), herald.Claim{Request: request})
	if err != nil {
		rt.Fatal(err)
	}
	m.notifications = append(m.notifications, &modelNotification{
		id: n.ID, status: herald.Queued, executions: []*modelExecution{{Execution: e}},
	})
}

func (m *machine) any(rt *rapid.T) *modelNotification {
	return rapid.SampledFrom(m.notifications).Draw(rt, "notification")
}

// anyExecution draws an execution. It may no longer own its job.
func (m *machine) anyExecution(rt *rapid.T) (*modelNotification, *modelExecution) {
	begun := slices.DeleteFunc(slices.Clone(m.notifications),
		func(n *modelNotification) bool { return len(n.executions) == 0 })
	if len(begun) == 0 {
		rt.Skip()
	}
	n := rapid.SampledFrom(begun).Draw(rt, "notification")
	return n, rapid.SampledFrom(n.executions).Draw(rt, "execution")
}

func (m *machine) fetch(rt *rapid.T) {
	n := m.any(rt)
	available := !n.status.Final() && n.owner() == nil
	e := fetch(m.t, m.pool, n.id, owners.Draw(rt, "process"))
	if (e != nil) != available {
		rt.Fatalf("fetched %+v, available %v", e, available)
	}
	if e != nil {
		n.executions = append(n.executions, &modelExecution{Execution: *e})
	}
}

// conclude concludes several executions at once. They may share a transaction.
func (m *machine) conclude(rt *rapid.T) {
	var conclusions []postgres.Conclusion
	var expected []postgres.Concluded
	for range rapid.IntRange(1, 3).Draw(rt, "batch") {
		n, e := m.anyExecution(rt)
		if slices.ContainsFunc(conclusions, func(c postgres.Conclusion) bool { return c.Execution == e.Execution }) {
			continue
		}
		c := postgres.Conclusion{
			Execution: e.Execution, NotificationID: n.id, Result: herald.Result{Outcome: outcomes.Draw(rt, "outcome")},
			RetryAfter: pauses.Draw(rt, "pause"), GiveUpAfter: giveUp,
		}
		conclusions = append(conclusions, c)
		expected = append(expected, n.concludes(e, c))
	}
	got := make([]postgres.Concluded, len(conclusions))
	errs := make([]error, len(conclusions))
	var wait sync.WaitGroup
	for i := range conclusions {
		wait.Go(func() { got[i], errs[i] = m.store.Conclude(m.t.Context(), conclusions[i]) })
	}
	wait.Wait()
	for i := range conclusions {
		if errs[i] != nil || got[i].Owned != expected[i].Owned || got[i].Status != expected[i].Status {
			rt.Fatalf("concluding %+v: %+v, %v, expected %+v", conclusions[i], got[i], errs[i], expected[i])
		}
	}
}

// concludes applies a conclusion to the model.
func (n *modelNotification) concludes(e *modelExecution, c postgres.Conclusion) postgres.Concluded {
	if e != n.owner() {
		return postgres.Concluded{}
	}
	e.end, e.unknown = concluded, c.Outcome == herald.Unknown
	switch {
	case c.Outcome == herald.Accepted:
		n.status = herald.Sent
	case c.Outcome == herald.Refused || c.RetryAfter > giveUp:
		n.status = herald.Failed
	}
	return postgres.Concluded{Owned: true, Status: n.status}
}

func (m *machine) handBack(rt *rapid.T) {
	n, e := m.anyExecution(rt)
	if err := m.store.HandBack(m.t.Context(), e.Execution, 0); err != nil {
		rt.Fatal(err)
	}
	if e == n.owner() {
		e.end = handedBack
	}
}

// discard calls Discard for an execution that no longer owns its job, which has no effect. An owner
// may call Discard only when its notification is sent or failed.
func (m *machine) discard(rt *rapid.T) {
	n, e := m.anyExecution(rt)
	if e == n.owner() {
		rt.Skip()
	}
	if err := m.store.Discard(m.t.Context(), e.Execution, rapid.Bool().Draw(rt, "cancelled")); err != nil {
		rt.Fatal(err)
	}
}

// abandon abandons the jobs of one or two processes, none of which is present.
func (m *machine) abandon(rt *rapid.T) {
	dead := []string{owners.Draw(rt, "dead"), owners.Draw(rt, "dead")}
	if _, err := m.store.Abandon(m.t.Context(), dead); err != nil {
		rt.Fatal(err)
	}
	for _, n := range m.notifications {
		if e := n.owner(); e != nil && slices.Contains(dead, e.Process) {
			e.end = abandoned
		}
	}
}

func (m *machine) rescue(rt *rapid.T) {
	n := m.any(rt)
	e := n.owner()
	if e == nil {
		rt.Skip()
	}
	exec(m.t, m.pool, `update river_job set state = 'available' where id = $1`, e.Job)
	e.end = rescued
}

// check compares the stored data with the model.
func (m *machine) check(rt *rapid.T) {
	for _, n := range m.notifications {
		got := get(m.t, m.store, n.id)
		want := struct {
			status   herald.Status
			marked   bool
			attempts int
			job      string
		}{n.status, n.marked(), n.recorded(), "available"}
		switch {
		case n.owner() != nil:
			want.status, want.job = herald.Sending, "running"
			want.attempts++
		case n.status.Final():
			want.job = "completed"
		}
		if job := m.job(n.id); got.Status != want.status || got.PossibleDuplicate != want.marked ||
			len(got.Attempts) != want.attempts || job != want.job {
			rt.Fatalf("got %+v, the job %s, want %+v", got, job, want)
		}
		for i, a := range got.Attempts {
			if a.Number != i+1 || (a.FinishedAt == nil) != (n.owner() != nil && i == len(got.Attempts)-1) {
				rt.Fatalf("attempt %d: %+v", i+1, a)
			}
		}
	}
}

// job returns the state of a notification's job, of which there must be exactly one.
func (m *machine) job(id uuid.UUID) string {
	var states []string
	err := m.pool.QueryRow(m.t.Context(), `
		select array_agg(j.state::text) from river_job j where j.args->>'notification_id' = $1`, id.String()).Scan(&states)
	if err != nil || len(states) != 1 {
		return fmt.Sprintf("in states %v, %v", states, err)
	}
	return states[0]
}
