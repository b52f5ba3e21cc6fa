// Package journal is the domain of Journal, the service that keeps entries about users. It holds the
// types, rules and errors that storage and HTTP share, and imports neither.
package journal

import (
	_ "embed"
	"errors"
	"time"

	"github.com/google/uuid"
)

// OpenAPI is the description of Journal's API, an OpenAPI 3.1 document in YAML.
//
//go:embed openapi.yaml
var OpenAPI string

// MaxText is the largest number of characters of an entry's text.
const MaxText = 2000

// ErrNotFound says that the entry does not exist or belongs to another owner. The caller cannot
// distinguish the two.
var ErrNotFound = errors.New("entry not found")

// An Entry is a text about a user. It belongs to its owner, and only the owner can read it.
type Entry struct {
	ID        uuid.UUID
	Owner     string // the URI of a user, or the name of a service
	UserID    int64  // the user whom the entry is about, whom its owner may see at Census
	Text      string
	CreatedAt time.Time
}
