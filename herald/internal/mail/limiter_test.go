package mail_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/smtptest"
)

// A slow domain cannot use all connections, and no more than a few of its mails wait for one.
func TestSlowDomainIsRejected(t *testing.T) {
	t.Parallel()
	_, sender := start(t, smtptest.Config{}, mail.Config{MaxConns: 4})
	connect := func(domain string) (*mail.Conn, error) { return sender.Connect(t.Context(), domain) }
	var slow []*mail.Conn
	for range 3 {
		conn, err := connect("slow.example")
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	var wait sync.WaitGroup
	rejected := make(chan error, 5)
	for range cap(rejected) {
		wait.Go(func() {
			conn, err := connect("slow.example")
			if err != nil {
				rejected <- err
				return
			}
			conn.Release()
		})
	}
	for range 3 {
		err := <-rejected
		if busy, ok := errors.AsType[*mail.BusyError](err); !ok || busy.RetryAfter < time.Second {
			t.Errorf("rejected with %v", err)
		}
	}
	fast, err := connect("fast.example")
	if err != nil {
		t.Fatalf("another domain: %v", err)
	}
	if !sender.BusyFor(500*time.Millisecond) || sender.BusyFor(time.Hour) {
		t.Error("it is not told for how long the connections are in use")
	}
	fast.Release()
	for _, conn := range slow {
		conn.Release()
	}
	wait.Wait()
	if len(rejected) > 0 {
		t.Errorf("rejected with %v, although few wait", <-rejected)
	}
	if sender.BusyFor(0) {
		t.Error("connections are in use")
	}
}

// Mails to a domain that is not slow wait for their turn, however many there are.
func TestFastDomainIsNotRejected(t *testing.T) {
	t.Parallel()
	_, sender := start(t, smtptest.Config{}, mail.Config{MaxConns: 4})
	var wait sync.WaitGroup
	for range 60 { // the last one waits for a second
		wait.Go(func() {
			conn, err := sender.Connect(t.Context(), "fast.example")
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(50 * time.Millisecond)
			conn.Release()
		})
	}
	wait.Wait()
}
