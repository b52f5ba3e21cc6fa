package census

import (
	"strconv"
	"strings"
)

// MaxID is the highest ID that a user may have. JavaScript, too, can count that
// far, and beyond it there are IDs left for users to come.
const MaxID = 999_999_999_999_999

// ParseID reads a user's ID as Census writes it: decimal digits, no sign, no
// leading zero, between 1 and MaxID. Nothing else stands for a user.
func ParseID(s string) (id int64, ok bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 || id > MaxID || strconv.FormatInt(id, 10) != s {
		return 0, false
	}
	return id, true
}

// A BaseURL is the name of a Census, such as "https://census.service/". The URIs
// of its users lie under it.
type BaseURL string

// UserURI returns the URI of a user: "https://census.service/user/42/".
func (b BaseURL) UserURI(id int64) string {
	return string(b) + "user/" + strconv.FormatInt(id, 10) + "/"
}

// UserID returns the ID of the user whose URI is uri, byte for byte; false when
// uri is no user's of this Census.
func (b BaseURL) UserID(uri string) (id int64, ok bool) {
	path, under := strings.CutPrefix(uri, string(b)+"user/")
	digits, closed := strings.CutSuffix(path, "/")
	if !under || !closed {
		return 0, false
	}
	return ParseID(digits)
}
