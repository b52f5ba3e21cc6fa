package traffic

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// An arrival is a mail that the mail server has accepted.
type arrival struct{ due, at time.Time }

func (a arrival) latency() time.Duration { return a.at.Sub(a.due) }

// A tracker matches mails to the POSTs that caused them by the user. Responses to POSTs about one
// user arrive in order.
type tracker struct {
	arrived func() // called for each mail with a pending POST

	mu       sync.Mutex
	pending  map[int][]time.Time // by user: the due times of the POSTs without a mail
	waiting  int                 // the number of pending POSTs
	accepted int
	refused  map[int]int // by status
	arrivals []arrival
	extra    []int // the users of mails without a pending POST
}

func newTracker(arrived func()) *tracker {
	return &tracker{arrived: arrived, pending: map[int][]time.Time{}, refused: map[int]int{}}
}

// posting records a POST before it is sent, because its mail may arrive before the response.
func (t *tracker) posting(user int, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending[user] = append(t.pending[user], due)
	t.waiting++
}

func (t *tracker) accept() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted++
}

// refuse removes a POST that posting has recorded.
func (t *tracker) refuse(user, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused[status]++
	if due := t.pending[user]; len(due) > 0 {
		t.pending[user] = due[:len(due)-1]
		t.waiting--
	}
}

// mailed matches a mail to a pending POST.
func (t *tracker) mailed(user int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.pending[user]
	if len(due) == 0 {
		t.extra = append(t.extra, user)
		return
	}
	t.pending[user] = due[1:]
	t.waiting--
	t.arrivals = append(t.arrivals, arrival{due: due[0], at: at})
	t.arrived()
}

func (t *tracker) outstanding() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

// answers returns the number of POSTs answered with 201, and of refused ones by status.
func (t *tracker) answers() (accepted int, refused map[int]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accepted, maps.Clone(t.refused)
}

// arrivedIn returns the mails that arrived in a window.
func (t *tracker) arrivedIn(w window) []arrival {
	return t.selected(func(a arrival) bool { return w.contains(a.at) })
}

// dueIn returns the mails whose POSTs were due in a window.
func (t *tracker) dueIn(w window) []arrival {
	return t.selected(func(a arrival) bool { return w.contains(a.due) })
}

func (t *tracker) selected(take func(arrival) bool) (selected []arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.arrivals {
		if take(a) {
			selected = append(selected, a)
		}
	}
	return selected
}

// A window is the measured time.
type window struct{ begin, end time.Time }

func (w window) contains(t time.Time) bool { return !t.Before(w.begin) && t.Before(w.end) }

// latencies returns the latencies of the mails in ascending order.
func latencies(arrivals []arrival) []time.Duration {
	sorted := make([]time.Duration, len(arrivals))
	for i, a := range arrivals {
		sorted[i] = a.latency()
	}
	slices.Sort(sorted)
	return sorted
}

// check returns an error if a mail was lost or sent twice.
func (t *tracker) check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting > 0 || len(t.extra) > 0 || t.accepted != len(t.arrivals) {
		return fmt.Errorf("%d notifications accepted, %d mails: %d lost, %d twice",
			t.accepted, len(t.arrivals)+len(t.extra), t.waiting, len(t.extra))
	}
	return nil
}
