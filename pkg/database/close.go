package database

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// closeTimeout is the time limit of Close.
const closeTimeout = 2 * time.Second

// Close closes the pools that are not nil, at the end of a process. It waits for at most 2 s,
// because closing a connection takes 15 s when the server does not respond.
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
