package delivery

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxGivenUp bounds how many executions are remembered as given up. Each fetch whose reply is late
// adds up to as many as there are workers.
const maxGivenUp = 1 << 14

// executions are the executions that this process works, and those that it has given up before it
// knew of them. One process may work two executions of one job, when another process took the first
// for dead. It is safe for concurrent use.
type executions struct {
	mu      sync.Mutex
	working map[execution]struct{}
	givenUp *lru.Cache[execution, struct{}]
}

// An execution is told from all others by its job and by when it was fetched.
type execution struct {
	job       int64
	startedAt int64 // in microseconds, the database's precision
}

func newExecutions() *executions {
	givenUp, err := lru.New[execution, struct{}](maxGivenUp)
	if err != nil {
		panic(err) // a size under 1, which it is not
	}
	return &executions{working: map[execution]struct{}{}, givenUp: givenUp}
}

// begin reports whether an execution may be worked: not when it was given up. Each begin is followed
// by an end.
func (e *executions) begin(job int64, startedAt time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := execution{job, startedAt.UnixMicro()}
	if e.givenUp.Remove(x) {
		return false
	}
	e.working[x] = struct{}{}
	return true
}

func (e *executions) end(job int64, startedAt time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.working, execution{job, startedAt.UnixMicro()})
}

// giveUp reports whether an execution is not worked here. It never will be then, even if the reply
// to its fetch is still on its way.
func (e *executions) giveUp(job int64, startedAt time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := execution{job, startedAt.UnixMicro()}
	if _, works := e.working[x]; works {
		return false
	}
	e.givenUp.Add(x, struct{}{})
	return true
}
