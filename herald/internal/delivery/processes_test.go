package delivery_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/delivery"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/pgtest"
	"example.com/micromachine/pkg/smtptest"
)

// workerVariable has the test program work jobs, as a process of its own that can
// be killed, instead of testing: "database URL, mail address, Census address".
const workerVariable = "HERALD_TEST_WORKER"

func TestMain(m *testing.M) {
	if world := os.Getenv(workerVariable); world != "" {
		workUntilKilled(strings.Split(world, ","))
		return
	}
	pgtest.Main(m)
}

func workUntilKilled(world []string) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	service, _, err := newService(context.Background(), world[0], world[1], world[2], log, quick)
	if err == nil {
		err = service.Run(context.Background())
	}
	log.Error("not killed", "error", err)
	os.Exit(1)
}

// workElsewhere starts a process that works in the world, and returns what kills it.
func (w *world) workElsewhere(t *testing.T) (kill func()) {
	t.Helper()
	world := []string{w.databaseURL, w.mail.Addr(), w.census.Listener.Addr().String()}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+strings.Join(world, ","))
	var output bytes.Buffer
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("not killed but: %v: %s", err, &output)
		}
	})
	t.Cleanup(kill)
	return kill
}

// A gate holds up whoever comes to it.
type gate struct {
	reached chan struct{} // gets one for each who comes
	open    chan struct{}
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{reached: make(chan struct{}, 100), open: make(chan struct{})}
	t.Cleanup(g.release)
	return g
}

func (g *gate) release() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func (g *gate) pass() {
	g.reached <- struct{}{}
	<-g.open
}

func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(within):
		t.Fatalf("nobody came within %v", within)
	}
}

// TestKilledWhileSending kills a worker whose mail was taken, before it was told so.
func TestKilledWhileSending(t *testing.T) {
	t.Parallel()
	testKilledWhileSending(t, pgtest.New(t, migrations.Up))
}

// Through a pooler, the lock of the process that was killed goes with its session.
func TestKilledWhileSendingThroughPgBouncer(t *testing.T) {
	t.Parallel()
	testKilledWhileSending(t, pgtest.PgBouncer(t, pgtest.New(t, migrations.Up), "session"))
}

func testKilledWhileSending(t *testing.T, databaseURL string) {
	t.Helper()
	g := newGate(t)
	w := newWorldIn(t, databaseURL, smtptest.Config{OnMail: func(smtptest.Mail) { g.pass() }})
	kill := w.workElsewhere(t)
	id := w.create(t)
	g.await(t)
	kill()
	g.release()
	w.work(t, quick)
	n := w.await(t, id, final)
	if n.Status != herald.Sent || !n.PossibleDuplicate || outcomes(n) != "unknown,accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 2)
}

// TestKilledBeforeSending kills a worker that waits for Census. Nobody knows that it has not sent
// the mail.
func TestKilledBeforeSending(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	w := newWorld(t, smtptest.Config{})
	w.answersBy(func(http.ResponseWriter, *http.Request) { g.pass() })
	kill := w.workElsewhere(t)
	id := w.create(t)
	g.await(t)
	kill()
	g.release()
	w.answers(http.StatusOK, user42)
	w.work(t, quick)
	n := w.await(t, id, final)
	if n.Status != herald.Sent || !n.PossibleDuplicate || outcomes(n) != "unknown,accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 1)
}

// TestTheLivingAreLeftAlone has two services. One takes its time, and loses again
// and again the connection that proves that it lives.
func TestTheLivingAreLeftAlone(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	w := newWorld(t, smtptest.Config{OnMail: func(smtptest.Mail) { g.pass() }})
	config := quick
	config.DeadAfter = 2500 * time.Millisecond
	w.work(t, config)
	id := w.create(t)
	g.await(t)
	w.work(t, config)
	for begun := time.Now(); time.Since(begun) < 2*config.DeadAfter; {
		w.breakPresences(t, 2)
		select {
		case <-g.reached:
			t.Fatal("the mail is sent a second time")
		case <-time.After(10 * config.RecoveryInterval):
		}
	}
	g.release()
	n := w.await(t, id, final)
	if n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 1)
}

// breakPresences waits until so many connections hold a presence, and ends them.
func (w *world) breakPresences(t *testing.T, want int) {
	t.Helper()
	const holders = `from pg_locks where locktype = 'advisory' and objsubid = 2
		and database = (select oid from pg_database where datname = current_database())`
	count := func(what string) (n int) {
		if err := w.pool.QueryRow(t.Context(), `select count(`+what+`) `+holders).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(within); count("*") != want; {
		if time.Now().After(deadline) {
			t.Fatalf("%d processes are present", count("*"))
		}
	}
	if n := count("pg_terminate_backend(pid)"); n != want {
		t.Fatalf("%d connections broken", n)
	}
}

func TestManyWorkersSendEachMailOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	for range 3 {
		w.work(t, quick)
	}
	ids := make([]uuid.UUID, 60)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() { ids[i] = w.create(t) })
	}
	wait.Wait()
	for _, id := range ids {
		if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
			t.Errorf("got %+v", n)
		}
		w.wantMails(t, id, 1)
	}
	if n := len(w.mail.Mails()); n != len(ids) {
		t.Errorf("%d mails", n)
	}
}

// TestStopLetsASendFinish stops a service in the middle of a conversation.
func TestStopLetsASendFinish(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	w := newWorld(t, smtptest.Config{OnMail: func(smtptest.Mail) { g.pass() }})
	stop := w.work(t, quick)
	id := w.create(t)
	g.await(t)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("it did not wait")
	case <-time.After(200 * time.Millisecond):
	}
	later := w.create(t) // is not begun any more
	g.release()
	<-stopped
	n := w.await(t, id, final)
	if n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 1)
	w.wantMails(t, later, 0)
	w.work(t, quick)
	w.await(t, later, final)
	w.wantMails(t, later, 1)
}

// TestStopHandsBack stops services that are stuck at some point for longer than the
// grace.
func TestStopHandsBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		atCensus  bool
		outcomes  string
		duplicate bool
		mails     int
	}{
		"at Census":          {true, "accepted", false, 1},
		"at the mail server": {false, "unknown,accepted", true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			config := smtptest.Config{}
			if !test.atCensus {
				config.OnMail = func(smtptest.Mail) { g.pass() }
			}
			w := newWorld(t, config)
			if test.atCensus {
				w.answersBy(func(http.ResponseWriter, *http.Request) { g.pass() })
			}
			hasty := quick
			hasty.Grace = 50 * time.Millisecond
			stop := w.work(t, hasty)
			id := w.create(t)
			g.await(t)
			stop()
			g.release()
			w.answers(http.StatusOK, user42)
			if n := w.jobs(t, "available"); n != 1 {
				t.Errorf("%d jobs handed back", n)
			}
			w.work(t, delivery.Config{}) // needs no recovery
			n := w.await(t, id, final)
			if n.Status != herald.Sent || n.PossibleDuplicate != test.duplicate || outcomes(n) != test.outcomes {
				t.Errorf("got %+v", n)
			}
			w.wantMails(t, id, test.mails)
		})
	}
}

// TestLeavesNothingBehind looks for goroutines after a service has ended. No other
// test runs meanwhile.
func TestLeavesNothingBehind(t *testing.T) { //nolint:paralleltest // as it says
	w := newWorld(t, smtptest.Config{})
	id := w.create(t)
	before := goleak.IgnoreCurrent()
	stop := w.work(t, quick)
	w.await(t, id, final)
	stop()
	w.pool.Reset()
	goleak.VerifyNone(t, before)
}

// TestResultsAreKept has the recording of a result fail for a moment.
func TestResultsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.exec(t, noResults)
	w.work(t, quick)
	id := w.create(t)
	if _, err := w.mail.WaitFor(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `alter table attempts drop constraint no_results`)
	n := w.await(t, id, final)
	if n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 1)
}

const noResults = `alter table attempts add constraint no_results check (outcome is null)`

func (w *world) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := w.pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestErrorsAreLogged has the recording of a result fail for longer than that. The worker keeps the
// result, and the mail is not sent again.
func TestErrorsAreLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	w.exec(t, noResults)
	w.work(t, quick)
	id := w.create(t)
	w.awaitLog(t, "no_results")
	time.Sleep(time.Second)
	w.exec(t, `alter table attempts drop constraint no_results`)
	if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 1)
}

// TestLostFetch has the database's answer to a fetch get lost: the job is in the name of a process
// that does not know of it.
func TestLostFetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smtptest.Config{})
	stop := w.work(t, quick)
	w.await(t, w.create(t), final)
	var process string
	if err := w.pool.QueryRow(t.Context(), `select attempted_by[1] from river_job`).Scan(&process); err != nil {
		t.Fatal(err)
	}
	stop()
	id := w.create(t)
	if _, err := w.pool.Exec(t.Context(), `
		update river_job set state = 'running', attempt = 1, attempted_at = now(), attempted_by = array[$1]
		where state = 'available'`, process); err != nil {
		t.Fatal(err)
	}
	config := quick
	config.Process = process
	w.work(t, config)
	if n := w.await(t, id, final); n.Status != herald.Sent || n.PossibleDuplicate || outcomes(n) != "accepted" {
		t.Errorf("got %+v", n)
	}
	w.wantMails(t, id, 1)
}

// TestRunWaitsForTheDatabase starts a service before its tables are there.
func TestRunWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t, nil), smtptest.Config{})
	w.work(t, quick)
	deadline := time.Now().Add(within)
	for !strings.Contains(w.log.String(), "deliveries cannot begin") {
		if time.Now().After(deadline) {
			t.Fatal("it does not say that it cannot begin")
		}
	}
	if err := migrations.Up(t.Context(), w.databaseURL); err != nil {
		t.Fatal(err)
	}
	if n := w.await(t, w.create(t), final); n.Status != herald.Sent {
		t.Errorf("got %+v", n)
	}
}

// TestSaysOnceThatItCannotBegin lets several tries fail.
func TestSaysOnceThatItCannotBegin(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t, nil), smtptest.Config{})
	w.work(t, quick)
	time.Sleep(3500 * time.Millisecond)
	log := w.log.String()
	if lines := strings.Count(log, "\n"); lines != 1 || !strings.Contains(log, "level=ERROR") {
		t.Errorf("%d lines: %s", lines, log)
	}
}

// TestStopsBeforeItHasBegun stops services that cannot reach their database.
func TestStopsBeforeItHasBegun(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, "postgres://nobody@127.0.0.1:1/nothing", smtptest.Config{})
	w.work(t, quick)()
}
