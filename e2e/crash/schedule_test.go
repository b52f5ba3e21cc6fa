package crash_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/smtptest"
)

// The outage of a Herald's connection to PostgreSQL. It is longer than the time after which other
// processes consider the Herald dead.
const (
	outage   = 7 * time.Second
	lateBy   = 5 * time.Second // the delay of the second mail server's reply after the outage
	perRound = 14              // the number of notifications: the limit of mails to one domain at a time
)

// waits are the points at which the first Herald is stopped during its outage.
var waits = []Point{
	AfterFetch, AfterHello, AfterMail, AfterRcpt, AfterData, AfterDot, AfterReply, BeforeOutcome, InOutcome, AfterOutcome,
}

// testSchedule makes one Herald start jobs and stop at a point. That Herald loses PostgreSQL for 7
// s. Another Herald takes over the jobs and sends the mails. Its mail server replies late. Then the
// first Herald can reach its database again. Its conversations fail at some point or succeed.
func testSchedule(t *testing.T, s *stack.Stack) {
	rounds, parallel := 1, 5
	if *full {
		rounds, parallel = 13, 5
	}
	var mu sync.Mutex
	results := map[Point]tally{}
	failures := map[Point]map[Point]int{}
	var jobs []job
	for _, p := range waits {
		failures[p] = map[Point]int{}
		for range rounds {
			jobs = append(jobs, func(ctx context.Context, w *world) {
				var failed map[Point]int
				got := w.run(ctx, func() (err error) {
					failed, err = schedule(ctx, w, p)
					return err
				})
				for _, fault := range got.faults {
					t.Errorf("waiting %s: %s", p, fault)
				}
				mu.Lock()
				defer mu.Unlock()
				results[p] = results[p].plus(got)
				for at, n := range failed {
					failures[p][at] += n
				}
			})
		}
	}
	runJobs(t, s, parallel, true, jobs)
	printSchedule(t, results, failures)
}

// schedule runs one round. It returns how many conversations of the first Herald failed at each
// point.
func schedule(ctx context.Context, w *world, at Point) (map[Point]int, error) {
	secondFetch := w.b.hold(BeforeFetch, true)
	held, firstFetch := w.a.hold(at, false), (*hold)(nil)
	if at == AfterFetch { // one fetch must return all jobs
		firstFetch = w.a.hold(BeforeFetch, true)
	}
	for range perRound {
		w.postTo(ctx, w.a, at)
	}
	w.posts.Wait()
	if firstFetch != nil {
		held = w.a.hold(at, false)
		firstFetch.release()
	}
	err := held.await(ctx)
	pause(ctx, gatherFor)
	w.a.loseDatabase()
	late := w.b.hold(AfterDot, false)
	secondFetch.release()
	pause(ctx, outage)
	if at < AfterReply && err == nil { // at later points the first Herald may have recorded everything before
		err = late.await(ctx)
	}
	plan := newPlan(at)
	w.a.fail(plan.fault)
	w.a.proxy.refuse(false)
	held.release()
	pause(ctx, lateBy)
	w.b.clear()
	late.release()
	return plan.done(), err
}

// gatherFor is how long the other jobs may take to reach the point after the first one.
const gatherFor = 300 * time.Millisecond

// A plan makes two conversations fail at each point after the one where they were stopped. The
// remaining conversations succeed.
type plan struct {
	mu     sync.Mutex
	left   map[Point]int
	failed map[Point]int
}

func newPlan(at Point) *plan {
	p := &plan{left: map[Point]int{}, failed: map[Point]int{}}
	for q := max(at, AfterHello); q <= AfterReply; q++ {
		p.left[q] = 2
	}
	return p
}

// fault refuses the first conversation at a point with a reply and drops the second one. From
// AfterDot on it drops both, as the server has accepted the mail.
func (p *plan) fault(stage smtptest.Stage) (f smtptest.Fault, fails bool) {
	at := stagePoints[stage]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left[at] == 0 {
		return f, false
	}
	if p.left[at] == 2 && at < AfterDot {
		f.Code = 451
	}
	p.left[at]--
	p.failed[at]++
	return f, true
}

func (p *plan) done() map[Point]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func printSchedule(t *testing.T, results map[Point]tally, failures map[Point]map[Point]int) {
	t.Helper()
	table := newTable("the first Herald is stopped", "result")
	for q := AfterHello; q <= AfterReply; q++ {
		table.columns = append(table.columns, "failed "+q.String())
	}
	for _, p := range waits {
		cells := []string{results[p].String()}
		for q := AfterHello; q <= AfterReply; q++ {
			cells = append(cells, strconv.Itoa(failures[p][q]))
			if q >= p && failures[p][q] == 0 {
				t.Errorf("waiting %s: no conversation failed %s", p, q)
			}
		}
		table.add(p.String(), cells...)
	}
	table.print(t, "One of two Heralds loses PostgreSQL for 7 s")
}
