package server

import (
	"net/http"
	"time"

	"example.com/micromachine/pkg/httpjson"
	"example.com/micromachine/pkg/scaffold/journal"
	"example.com/micromachine/pkg/svcauth"
)

// createEntry creates an entry that belongs to the token's subject.
func (s *server) createEntry(w http.ResponseWriter, r *http.Request) error {
	entry, err := s.readEntry(r)
	if err != nil {
		return err
	}
	if _, err := s.Census.User(r.Context(), entry.Owner, entry.UserID); err != nil {
		return err
	}
	if entry, err = s.Store.CreateEntry(r.Context(), entry); err != nil {
		return err
	}
	w.Header().Set("Location", s.uri(entry))
	return httpjson.Write(w, http.StatusCreated, s.toJSON(entry))
}

// readEntry reads a new entry from a request.
func (s *server) readEntry(r *http.Request) (journal.Entry, error) {
	body, err := httpjson.Decode[struct {
		User string `json:"user"`
		Text string `json:"text"`
	}](r, maxBody)
	if err != nil {
		return journal.Entry{}, err
	}
	faults := httpjson.CheckText("/text", body.Text, journal.MaxText)
	userID, ok := s.Census.UserID(body.User)
	if !ok {
		faults = append(faults, s.Census.UserFault("/user"))
	}
	if len(faults) > 0 {
		return journal.Entry{}, httpjson.InvalidFields(faults...)
	}
	owner, _ := svcauth.SubjectFrom(r.Context())
	return journal.Entry{Owner: string(owner), UserID: userID, Text: body.Text}, nil
}

// getEntry responds with an entry of the token's subject.
func (s *server) getEntry(w http.ResponseWriter, r *http.Request) error {
	id, ok := httpjson.PathUUID(r, "id")
	if !ok {
		return journal.ErrNotFound
	}
	owner, _ := svcauth.SubjectFrom(r.Context())
	entry, err := s.Store.Entry(r.Context(), string(owner), id)
	if err != nil {
		return err
	}
	return httpjson.Write(w, http.StatusOK, s.toJSON(entry))
}

// entryJSON is the JSON representation of an entry.
type entryJSON struct {
	URI       string    `json:"uri"`
	User      string    `json:"user"`
	Text      string    `json:"text"`
	CreatedAt time.Time `json:"created_at"`
}

func (s *server) toJSON(e journal.Entry) entryJSON {
	return entryJSON{URI: s.uri(e), User: s.Census.UserURI(e.UserID), Text: e.Text, CreatedAt: e.CreatedAt}
}

func (s *server) uri(e journal.Entry) string { return s.API.URL + "entry/" + e.ID.String() + "/" }
