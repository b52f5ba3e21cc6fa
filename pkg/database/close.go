package database

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// closeTimeout bounds Close.
const closeTimeout = 2 * time.Second

// Close closes pools at the end of a process; nil ones are passed over. It waits for at most 2 s: a
// server that hangs would have the end of each connection wait for 15 s.
func Close(pools ...*pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, pool := range pools {
			if pool != nil {
				pool.Close()
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}
