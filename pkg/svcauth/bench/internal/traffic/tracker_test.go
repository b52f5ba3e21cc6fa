package traffic

import (
	"testing"
	"time"
)

func TestTrackerCheck(t *testing.T) {
	t.Parallel()
	start := time.Now()
	post := func(tr *tracker, user int) {
		tr.posting(user, start)
		tr.accept()
	}
	for _, test := range []struct {
		name string
		do   func(*tracker)
		ok   bool
	}{
		{"each mail once", func(tr *tracker) { post(tr, 1); post(tr, 1); tr.mailed(1, start); tr.mailed(1, start) }, true},
		{"mail before the answer", func(tr *tracker) { tr.posting(1, start); tr.mailed(1, start); tr.accept() }, true},
		{"refused", func(tr *tracker) { tr.posting(1, start); tr.refuse(1, 503) }, true},
		{"lost", func(tr *tracker) { post(tr, 1) }, false},
		{"twice", func(tr *tracker) { post(tr, 1); tr.mailed(1, start); tr.mailed(1, start) }, false},
		{
			"one twice, another lost",
			func(tr *tracker) { post(tr, 1); post(tr, 2); tr.mailed(1, start); tr.mailed(1, start) }, false,
		},
		{"mail after a refusal", func(tr *tracker) { tr.posting(1, start); tr.refuse(1, 503); tr.mailed(1, start) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tr := newTracker(func() {})
			test.do(tr)
			if err := tr.check(); (err == nil) != test.ok {
				t.Errorf("check: %v", err)
			}
		})
	}
}

func TestTrackerWindows(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	tr := newTracker(func() {})
	for user, times := range [][2]int{{0, 15}, {10, 30}, {12, 19}, {18, 40}, {20, 25}} {
		tr.posting(user, at(times[0]))
		tr.mailed(user, at(times[1]))
	}
	w := window{at(10), at(20)}
	if got := latencies(tr.arrivedIn(w)); len(got) != 2 || got[0] != 7*time.Millisecond || got[1] != 15*time.Millisecond {
		t.Errorf("arrived in the window: %v", got)
	}
	if got := latencies(tr.dueIn(w)); len(got) != 3 || got[2] != 22*time.Millisecond {
		t.Errorf("due in the window: %v", got)
	}
}
