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

// A Phase is a period with a fixed rate of POSTs. The rate does not depend on the response times.
type Phase struct {
	Rate float64 // per second
	Time time.Duration
}

// A Stream is the sequence of POSTs of one caller, which has its own connections.
type Stream struct {
	Target Target
	Conns  int
	Phases []Phase
}

// A Post is one POST and its result.
type Post struct {
	Due, Sent, Answered time.Time
	Status              int
	Mailed              time.Time // when the mail arrived; zero: it has not
}

// Refused reports whether the response was 503.
func (p Post) Refused() bool { return p.Status == http.StatusServiceUnavailable }

// RunStreams sends the streams concurrently and returns the POSTs of each in the order of sending.
// It returns an error for responses other than 201 and 503, lost mails and duplicate mails.
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

// A ledger matches mails to the POSTs that caused them by the user.
type ledger struct {
	mu      sync.Mutex
	pending map[int][]*Post // by user: neither refused nor mailed
	waiting int
	extra   int // mails without a pending POST
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
				if len(c.buffer) == 0 { // a refused request is sent again without a new signature
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

// pacePhases sends to due when POSTs are due. At the end of a phase it drops the POSTs that no
// connection has sent.
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

// call sends one POST.
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

// remove removes a refused POST, which causes no mail. If a mail was matched to it, the mail
// belongs to another POST about the same user. l.mu must be held.
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

// mailed matches a mail to a pending POST.
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

// drain waits for the pending mails and returns an error unless each arrived once.
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
	_ = sleep(ctx, duplicateTime)
	if waiting, extra := state(); waiting > 0 || extra > 0 {
		return fmt.Errorf("%d mails lost, %d twice", waiting, extra)
	}
	return nil
}
