package plain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A user is a user in Census's response.
type user struct {
	URI    string `json:"uri"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Locale string `json:"locale"`
}

// RunCensus serves users until ctx ends.
func RunCensus(ctx context.Context) error {
	s, err := parse[settings]()
	if err != nil {
		return err
	}
	pool, err := s.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	router := chi.NewRouter()
	if len(s.CallerKey) > 0 {
		router.Use(require(newVerifier(s.CallerKey.public(), Herald, Census)))
	}
	router.Get("/user/{id}/", getUser(pool))
	return s.serve(ctx, router)
}

// require returns a middleware that rejects requests without a valid token.
func require(v *verifier) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := v.check(r.Header.Get(header), nil); err != nil {
				http.Error(w, "unauthorized", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func getUser(pool *pgxpool.Pool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
		if err != nil {
			http.Error(w, "no such user", http.StatusNotFound)
			return
		}
		u := user{URI: fmt.Sprintf("https://census.service/user/%d/", id)}
		err = pool.QueryRow(r.Context(), `select name, email, locale from users where id = $1`, id).
			Scan(&u.Name, &u.Email, &u.Locale)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			http.Error(w, "no such user", http.StatusNotFound)
		case err != nil:
			http.Error(w, "internal error", http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(u) // fails only if the client has disconnected
		}
	}
}
