package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"example.com/micromachine/herald"
	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/httpserve"
)

// createNotification creates a notification. It responds after the notification is committed.
func (s *server) createNotification(w http.ResponseWriter, r *http.Request) error {
	request, key, err := s.readRequest(r)
	if err != nil {
		return err
	}
	n, err := s.accept(r.Context(), request, key)
	if err != nil {
		return err
	}
	w.Header().Set("Location", s.uri(n))
	return httpjson.Write(w, http.StatusCreated, s.resource(n))
}

// accept creates a notification, or returns the one that settled the idempotency key. A refused
// request leaves no data behind.
func (s *server) accept(ctx context.Context, request herald.Request, key string) (*herald.Notification, error) {
	claim, before, err := s.Store.Claim(ctx, request, key)
	if err != nil || before != nil {
		return before, err
	}
	n, err := s.create(ctx, claim)
	if err != nil {
		return nil, errors.Join(err, s.release(ctx, claim))
	}
	return n, nil
}

func (s *server) create(ctx context.Context, claim herald.Claim) (*herald.Notification, error) {
	asked := time.Now()
	recipient, err := s.lookUp(ctx, claim.Request)
	if err != nil {
		return nil, err
	}
	if recipient == nil || s.Deliveries == nil {
		return s.Store.Create(ctx, claim)
	}
	return s.Deliveries.Accept(ctx, claim, *recipient, asked, httpserve.Hold(ctx))
}

// lookUp fetches the user from Census on behalf of the creator. When Census is unavailable it
// returns nil, and the delivery fetches the user later.
func (s *server) lookUp(ctx context.Context, request herald.Request) (*herald.Recipient, error) {
	user, err := s.Census.User(ctx, request.Creator, request.UserID)
	switch {
	case errors.Is(err, censusclient.ErrUnavailable) && ctx.Err() == nil:
		s.API.Logger.WarnContext(ctx, "notification accepted before the user could be fetched", "error", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	recipient := herald.Recipient(user)
	return &recipient, nil
}

// release releases the claim, even when the client has disconnected.
func (s *server) release(ctx context.Context, claim herald.Claim) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	return s.Store.Release(ctx, claim)
}

// getNotification responds with a notification of the token's subject.
func (s *server) getNotification(w http.ResponseWriter, r *http.Request) error {
	id, valid := httpjson.PathUUID(r, "id")
	by, ok := creator(r)
	if !valid || !ok {
		return herald.ErrNotFound
	}
	n, err := s.Store.Notification(r.Context(), by, id)
	if err != nil {
		return err
	}
	return httpjson.Write(w, http.StatusOK, s.resource(n))
}

// A notification is the JSON representation of a notification. It contains no mail address.
type notification struct {
	URI               string        `json:"uri"`
	User              string        `json:"user"`
	Type              herald.Type   `json:"type"`
	Status            herald.Status `json:"status"`
	PossibleDuplicate bool          `json:"possible_duplicate"`
	CreatedAt         time.Time     `json:"created_at"`
	UpdatedAt         time.Time     `json:"updated_at"`
	NextAttemptAt     *time.Time    `json:"next_attempt_at,omitempty"`
	Attempts          []attempt     `json:"attempts"`
}

// An attempt is the JSON representation of an attempt.
type attempt struct {
	Number     int            `json:"number"`
	StartedAt  time.Time      `json:"started_at"`
	FinishedAt *time.Time     `json:"finished_at,omitempty"`
	Outcome    herald.Outcome `json:"outcome,omitempty"`
	SMTPCode   int            `json:"smtp_code,omitempty"`
	Detail     string         `json:"detail,omitempty"`
}

func (s *server) resource(n *herald.Notification) notification {
	attempts := make([]attempt, 0, len(n.Attempts)) // [], not null
	for _, a := range n.Attempts {
		attempts = append(attempts, attempt{
			a.Number, a.StartedAt, a.FinishedAt, a.Outcome, a.SMTPCode, a.Detail,
		})
	}
	return notification{
		URI:               s.uri(n),
		User:              s.Census.UserURI(n.UserID),
		Type:              n.Type,
		Status:            n.Status,
		PossibleDuplicate: n.PossibleDuplicate,
		CreatedAt:         n.CreatedAt,
		UpdatedAt:         n.UpdatedAt,
		NextAttemptAt:     n.NextAttemptAt,
		Attempts:          attempts,
	}
}

func (s *server) uri(n *herald.Notification) string {
	return s.API.URL + "notification/" + n.ID.String() + "/"
}
