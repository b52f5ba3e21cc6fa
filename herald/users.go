package herald

import (
	"strconv"
	"strings"
)

// UserURI returns the URI of a user at the Census whose base URL is census, such
// as "https://census.service/user/42/".
func UserURI(census string, id int64) string {
	return census + "user/" + strconv.FormatInt(id, 10) + "/"
}

// UserID returns the ID of the user whose URI is uri, byte for byte, at the
// Census whose base URL is census. Any other spelling, such as one with another
// case, port, query, or leading zeros, is no user's.
func UserID(census, uri string) (id int64, ok bool) {
	rest, under := strings.CutPrefix(uri, census+"user/")
	digits, closed := strings.CutSuffix(rest, "/")
	if !under || !closed {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil && id > 0 && UserURI(census, id) == uri
}
