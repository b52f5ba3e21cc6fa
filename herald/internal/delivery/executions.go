package delivery

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxGivenUp limits the number of executions that are remembered as given up. Each late reply of
// the database to a fetch adds at most as many as there are workers, and to an acceptance one.
const maxGivenUp = 1 << 14

// executions tracks the executions that run in this process, and those that it gave up before they
// started. One process may run two executions of one job, when another process took the first one
// for dead. It is safe for concurrent use.
type executions struct {
	mu      sync.Mutex
	running map[execution]struct{}
	givenUp *lru.Cache[execution, struct{}]
}

// An execution identifies an execution by its job and the time of its start.
type execution struct {
	job       int64
	startedAt int64 // in microseconds, the database's precision
}

func newExecutions() *executions {
	givenUp, err := lru.New[execution, struct{}](maxGivenUp)
	if err != nil {
		panic(err) // lru.New fails only for a size below 1
	}
	return &executions{running: map[execution]struct{}{}, givenUp: givenUp}
}

// begin registers an execution. It returns false when the execution was given up and must not run.
// Each successful call is followed by a call of end.
func (e *executions) begin(job int64, startedAt time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := execution{job, startedAt.UnixMicro()}
	if e.givenUp.Remove(x) {
		return false
	}
	e.running[x] = struct{}{}
	return true
}

func (e *executions) end(job int64, startedAt time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, execution{job, startedAt.UnixMicro()})
}

// giveUp gives an execution up, unless it is running. It reports whether it did. The execution then
// never runs in this process, even if the reply to its fetch or acceptance arrives later.
func (e *executions) giveUp(job int64, startedAt time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := execution{job, startedAt.UnixMicro()}
	if _, running := e.running[x]; running {
		return false
	}
	e.givenUp.Add(x, struct{}{})
	return true
}
