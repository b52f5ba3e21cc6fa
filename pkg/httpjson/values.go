package httpjson

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
)

// PathUUID returns a UUID from the path of a request, by the name of its parameter. ok is false
// unless it is spelt as UUIDs usually are: lower-case, with dashes.
func PathUUID(r *http.Request, name string) (id uuid.UUID, ok bool) {
	text := chi.URLParam(r, name)
	id, err := uuid.Parse(text)
	return id, err == nil && id.String() == text
}

// CheckText returns what is wrong with a text for people, or nil: it must not be empty, have more
// than most characters, or contain NUL, which PostgreSQL cannot store. field is a JSON pointer.
func CheckText(field, text string, most int) []FieldError {
	switch {
	case strings.TrimSpace(text) == "":
		return []FieldError{{Field: field, Detail: "must not be empty"}}
	case utf8.RuneCountInString(text) > most:
		return []FieldError{{Field: field, Detail: fmt.Sprintf("must have at most %d characters", most)}}
	case strings.ContainsRune(text, 0):
		return []FieldError{{Field: field, Detail: "must not contain the character NUL"}}
	}
	return nil
}
