package plain

import (
	"context"
	"fmt"
	"sync"

	gomail "github.com/wneessen/go-mail"
)

// A pool keeps connections to the mail server open. It dials a new one only if none is idle.
type pool struct {
	host    string
	options []gomail.Option

	mu   sync.Mutex
	idle []*gomail.Client
}

func (p *pool) send(ctx context.Context, m *gomail.Msg) error {
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	if err := c.Send(m); err != nil {
		_ = c.Close() // err is the error to return
		return fmt.Errorf("sending mail: %w", err)
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	return nil
}

// take returns an idle connection, or a new one.
func (p *pool) take(ctx context.Context) (*gomail.Client, error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		c := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := gomail.NewClient(p.host, p.options...)
	if err != nil {
		return nil, fmt.Errorf("preparing mail client: %w", err)
	}
	if err := c.DialWithContext(ctx); err != nil {
		return nil, fmt.Errorf("connecting to the mail server: %w", err)
	}
	return c, nil
}
