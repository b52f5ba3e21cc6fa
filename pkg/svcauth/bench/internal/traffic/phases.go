package traffic

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/micromachine/pkg/svcauth/bench/internal/sink"
)

// A Phase is a time in which POSTs are due at a rate, however long the answers take.
type Phase struct {
	Rate float64 // in a second
	Time time.Duration
}

// A Stream is the POSTs of one caller, with connections of its own.
type Stream struct {
	Target Target
	Conns  int
	Phases []Phase
}

// A Post is one POST and what came of it.
type Post struct {
	Due, Sent, Answered time.Time
	Status              int
	Mailed              time.Time // zero: not yet, or never
}

// Refused says whether the POST was answered 503.
func (p Post) Refused() bool { return p.Status == http.StatusServiceUnavailable }

// RunStreams sends the streams at the same time and returns the POSTs of each, in the order of their sending. Answers
// other than 201 and 503, mails that are lost and mails that come twice are errors.
func RunStreams(ctx context.Context, streams []Stream, users *Users, mails *sink.Sink) ([][]Post, error) {
	ledger := &ledger{pending: map[int][]*Post{}}
	mails.Report(ledger.mailed)
	defer mails.Report(nil)
	posts := make([][]*Post, len(streams))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, s := range streams {
		group.Go(func() (err error) {
			posts[i], err = ledger.send(groupCtx, s, users)
			return err
		})
	}
	err := group.Wait()
	if err == nil {
		err = ledger.drain(ctx)
	}
	result := make([][]Post, len(streams))
	for i := range posts {
		for _, p := range posts[i] {
			result[i] = append(result[i], *p)
		}
	}
	return result, err
}

// A ledger matches mails to the POSTs that caused them, by the user.
type ledger struct {
	mu      sync.Mutex
	pending map[int][]*Post // by user: not refused, and not mailed
	waiting int
	extra   int // mails that nobody was waiting for
}

// send sends one stream.
func (l *ledger) send(ctx context.Context, s Stream, users *Users) ([]*Post, error) {
	conns, err := DialMany(ctx, s.Target, s.Conns)
	if err != nil {
		return nil, err
	}
	defer CloseAll(conns)
	var total float64
	for _, phase := range s.Phases {
		total += phase.Rate*phase.Time.Seconds() + 1
	}
	due := make(chan time.Time, int(total))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(due)
		return pacePhases(ctx, s.Phases, due)
	})
	var mu sync.Mutex
	var posts []*Post
	for _, c := range conns {
		group.Go(func() error {
			var user int
			for at := range due {
				if len(c.buffer) == 0 { // what was refused is sent again, which costs no signature
					user = users.next()
					if err := c.prepare(user); err != nil {
						return err
					}
				}
				p := &Post{Due: at, Sent: time.Now()}
				mu.Lock()
				posts = append(posts, p)
				mu.Unlock()
				if err := l.call(c, p, user); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return posts, group.Wait()
}

// pacePhases makes POSTs due. What no connection has taken up at the end of a phase is not offered any more.
func pacePhases(ctx context.Context, phases []Phase, due chan time.Time) error {
	begin := time.Now()
	for _, phase := range phases {
		for i := range int(phase.Rate * phase.Time.Seconds()) {
			at := begin.Add(time.Duration(float64(i) / phase.Rate * float64(time.Second)))
			if err := sleep(ctx, time.Until(at)); err != nil {
				return err
			}
			due <- at
		}
		for len(due) > 0 {
			<-due
		}
		begin = begin.Add(phase.Time)
	}
	return nil
}

// call makes one POST.
func (l *ledger) call(c *Conn, p *Post, user int) error {
	l.mu.Lock()
	l.pending[user] = append(l.pending[user], p)
	l.waiting++
	l.mu.Unlock()
	status, body, err := c.Send(c.buffer)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Answered, p.Status = time.Now(), status
	switch status {
	case http.StatusCreated:
		c.buffer = c.buffer[:0]
		return nil
	case http.StatusServiceUnavailable:
		l.remove(user, p)
		return nil
	}
	return fmt.Errorf("POST was answered %d: %s", status, body)
}

// remove takes a POST back that no mail follows. Its mail cannot have come, but that of another one about the same user
// may have been taken for it. l.mu is held.
func (l *ledger) remove(user int, p *Post) {
	if !p.Mailed.IsZero() {
		if len(l.pending[user]) == 0 {
			l.extra++
			return
		}
		l.pending[user][0].Mailed, p.Mailed = p.Mailed, time.Time{}
		p = l.pending[user][0]
	}
	for i, other := range l.pending[user] {
		if other == p {
			l.pending[user] = append(l.pending[user][:i:i], l.pending[user][i+1:]...)
			l.waiting--
			return
		}
	}
}

// mailed notes a mail.
func (l *ledger) mailed(user int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pending := l.pending[user]
	if len(pending) == 0 {
		l.extra++
		return
	}
	pending[0].Mailed = at
	l.pending[user] = pending[1:]
	l.waiting--
}

// drain waits for the mails that are outstanding, and checks that each came once.
func (l *ledger) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	state := func() (waiting, extra int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.waiting, l.extra
	}
	for waiting, _ := state(); waiting > 0 && sleep(ctx, 5*time.Millisecond) == nil; waiting, _ = state() {
	}
	_ = sleep(ctx, doubtTime)
	if waiting, extra := state(); waiting > 0 || extra > 0 {
		return fmt.Errorf("%d mails lost, %d twice", waiting, extra)
	}
	return nil
}
