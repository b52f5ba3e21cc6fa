package plain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// maxWorkers is the number of jobs worked concurrently. River has no default; its examples use 100.
const maxWorkers = 100

type heraldSettings struct {
	Common    settings
	OwnKey    hexKey `env:"PLAIN_OWN_KEY,notEmpty"` // the seed
	CensusURL string `env:"PLAIN_CENSUS_URL,notEmpty"`
	SMTPAddr  string `env:"PLAIN_SMTP_ADDR,notEmpty"`
	Tuned     bool   `env:"PLAIN_TUNED"`
}

// A Welcome is a job that sends one mail.
type Welcome struct {
	User    string `json:"user"` // the path of the user at Census
	Subject string `json:"subject"`
}

// Kind implements [river.JobArgs].
func (Welcome) Kind() string { return "welcome" }

// RunHerald serves notifications and works their jobs until ctx ends.
func RunHerald(ctx context.Context) error {
	s, err := parse[heraldSettings]()
	if err != nil {
		return err
	}
	pool, err := s.Common.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	mailer, err := newMailer(s.SMTPAddr, s.Tuned)
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{mailer: mailer, census: newCensusClient(s)})
	jobs, err := river.NewClient(riverpgxv5.New(pool), jobConfig(workers, s.Tuned))
	if err != nil {
		return fmt.Errorf("preparing job queue: %w", err)
	}
	if err := jobs.Start(ctx); err != nil {
		return fmt.Errorf("starting job queue: %w", err)
	}
	router := chi.NewRouter()
	v := newVerifier(s.Common.CallerKey.public(), Caller, Herald)
	router.Post("/notification/", (&herald{verifier: v, pool: pool, jobs: jobs}).create)
	err = s.Common.serve(ctx, router)
	<-jobs.Stopped()
	return err
}

func jobConfig(workers *river.Workers, tuned bool) *river.Config {
	c := &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Logger: slog.New(slog.DiscardHandler),
	}
	if tuned {
		c.FetchCooldown = 5 * time.Millisecond
	}
	return c
}

type herald struct {
	verifier *verifier
	pool     *pgxpool.Pool
	jobs     *river.Client[pgx.Tx]
}

func (h *herald) create(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	subject, err := h.verifier.check(r.Header.Get(header), body)
	if err != nil {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	var request struct{ User, Type string }
	if err := json.Unmarshal(body, &request); err != nil || request.Type != "welcome-message" {
		http.Error(w, "invalid", http.StatusUnprocessableEntity)
		return
	}
	u, err := url.Parse(request.User)
	if err != nil {
		http.Error(w, "invalid", http.StatusUnprocessableEntity)
		return
	}
	if err := h.insert(r.Context(), Welcome{User: u.Path, Subject: subject}); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (h *herald) insert(ctx context.Context, job Welcome) error {
	return pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		_, err := h.jobs.InsertTx(ctx, tx, job, nil)
		return err
	})
}
