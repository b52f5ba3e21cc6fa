package server

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"example.com/micromachine/census"
	"example.com/micromachine/pkg/httpjson"
)

// userJSON is the JSON representation of a user.
type userJSON struct {
	URI    string `json:"uri"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Locale string `json:"locale"`
}

func (s *server) toJSON(u census.User) userJSON {
	return userJSON{URI: s.url.UserURI(u.ID), Name: u.Name, Email: u.Email, Locale: u.Locale}
}

func (s *server) getUser(w http.ResponseWriter, r *http.Request) error {
	user, err := s.store.User(r.Context(), s.actor(r), pathID(r, "id"))
	if err != nil {
		return err
	}
	return httpjson.Write(w, http.StatusOK, s.toJSON(user))
}

func (s *server) listUsers(w http.ResponseWriter, r *http.Request) error {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	page, err := s.store.Users(r.Context(), s.actor(r), query)
	if err != nil {
		return err
	}
	users := make([]userJSON, 0, len(page.Users))
	for _, user := range page.Users {
		users = append(users, s.toJSON(user))
	}
	if page.More {
		w.Header().Set("Link", s.nextPage(query, page))
	}
	return httpjson.Write(w, http.StatusOK, map[string]any{"users": users})
}

// nextPage returns the value of a Link header (RFC 8288) to the page after this one.
func (s *server) nextPage(query census.Query, page census.Page) string {
	last := page.Users[len(page.Users)-1]
	next := url.Values{"limit": {fmt.Sprint(query.Limit)}, "after": {fmt.Sprint(last.ID)}}
	return fmt.Sprintf(`<%suser/?%s>; rel="next"`, s.url, next.Encode())
}

func (s *server) createUser(w http.ResponseWriter, r *http.Request) error {
	type newUser struct {
		Name   string `json:"name"`
		Email  string `json:"email"`
		Locale string `json:"locale"`
	}
	body, err := httpjson.Decode[newUser](r, maxBody)
	if err != nil {
		return err
	}
	user := census.User{Name: body.Name, Email: body.Email, Locale: body.Locale}
	user, err = s.store.CreateUser(r.Context(), s.actor(r), user)
	if err != nil {
		return err
	}
	w.Header().Set("Location", s.url.UserURI(user.ID))
	return httpjson.Write(w, http.StatusCreated, s.toJSON(user))
}

func (s *server) updateUser(w http.ResponseWriter, r *http.Request) error {
	type update struct {
		Name   *string `json:"name"`
		Email  *string `json:"email"`
		Locale *string `json:"locale"`
	}
	body, err := httpjson.Decode[update](r, maxBody)
	if err != nil {
		return err
	}
	user, err := s.store.UpdateUser(r.Context(), s.actor(r), pathID(r, "id"), census.Update(body))
	if err != nil {
		return err
	}
	return httpjson.Write(w, http.StatusOK, s.toJSON(user))
}

func (s *server) deleteUser(w http.ResponseWriter, r *http.Request) error {
	if err := s.store.DeleteUser(r.Context(), s.actor(r), pathID(r, "id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) addViewer(w http.ResponseWriter, r *http.Request) error {
	if err := s.store.AddViewer(r.Context(), s.actor(r), pathID(r, "id"), pathID(r, "viewer")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) removeViewer(w http.ResponseWriter, r *http.Request) error {
	if err := s.store.RemoveViewer(r.Context(), s.actor(r), pathID(r, "id"), pathID(r, "viewer")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pathID returns a user's ID from the path, or 0 when the path has no valid ID. No user has the ID
// 0, so the response is the same as for a user who does not exist.
func pathID(r *http.Request, name string) int64 {
	id, _ := census.ParseID(chi.URLParam(r, name))
	return id
}
