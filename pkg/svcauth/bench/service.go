package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
)

// The names of the sides.
const (
	noAuthentication = "no authentication"
	sessionTokens    = "svcauth, a session token that repeats"
	newTokens        = "svcauth, read tokens never seen before"
)

const (
	serviceRounds = 41
	serviceOps    = 2000
)

// service compares a service that reads a user from PostgreSQL with and without authentication.
func service(ctx context.Context, w *world, databaseURL string) (_ []row, err error) {
	stored, err := newUsers(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stored.drop()) }()
	verifier, err := w.verifier()
	if err != nil {
		return nil, err
	}
	defer verifier.Close()
	open, stopOpen, err := serve(stored)
	if err != nil {
		return nil, err
	}
	defer stopOpen()
	guarded, stopGuarded, err := serve(stored, verifier.Require(64<<10))
	if err != nil {
		return nil, err
	}
	defer stopGuarded()
	l, err := newLoad(ctx, w, open, guarded)
	if err != nil {
		return nil, err
	}
	defer l.close()
	c := &comparison{rounds: serviceRounds, ops: serviceOps, fresh: l.renew, sides: l.sides()}
	r, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		heading(fmt.Sprintf("GET of a user: chi, pgx, PostgreSQL, %d keep-alive clients", clientCount)),
		r.rateRow(noAuthentication),
		r.rateRow(sessionTokens).withRatio("open", r.ratio(noAuthentication, sessionTokens), atLeast(0.95)),
		r.rateRow(newTokens).withRatio("open", r.ratio(noAuthentication, newTokens), atLeast(0.55)),
	}, nil
}

// serve starts the service on a free port and returns its address.
func serve(stored *users, middleware ...func(http.Handler) http.Handler) (address string, stop func(), err error) {
	router := chi.NewRouter()
	router.With(middleware...).Get("/user/{id}/", stored.get)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // if it fails, the clients report errors
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

func (u *users) get(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		http.Error(w, "no such user", http.StatusNotFound)
		return
	}
	found, err := u.byID(r.Context(), id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		http.Error(w, "no such user", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "no answer from storage", http.StatusInternalServerError)
		return
	}
	body, err := json.Marshal(found)
	if err != nil {
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
