package census

import (
	"strconv"
	"strings"
)

// MaxID is the highest ID that a user may have. It is below 2^53, so JavaScript represents it
// exactly.
const MaxID = 999_999_999_999_999

// ParseID parses a user's ID as Census writes it: decimal digits without a sign or leading zeros,
// between 1 and MaxID. All other text is rejected.
func ParseID(s string) (id int64, ok bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 || id > MaxID || strconv.FormatInt(id, 10) != s {
		return 0, false
	}
	return id, true
}

// A BaseURL is the name of a Census, such as "https://census.service/". The URIs of its users begin
// with it.
type BaseURL string

// UserURI returns the URI of a user, such as "https://census.service/user/42/".
func (b BaseURL) UserURI(id int64) string {
	return string(b) + "user/" + strconv.FormatInt(id, 10) + "/"
}

// UserID returns the ID of the user whose URI is uri. It reports false when uri is not exactly the
// text that UserURI returns for an ID from 1 to MaxID.
func (b BaseURL) UserID(uri string) (id int64, ok bool) {
	path, under := strings.CutPrefix(uri, string(b)+"user/")
	digits, closed := strings.CutSuffix(path, "/")
	if !under || !closed {
		return 0, false
	}
	return ParseID(digits)
}
