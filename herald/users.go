package herald

import (
	"strconv"
	"strings"
)

// UserURI returns the URI of a user. census is the base URL of Census. An example is
// "https://census.service/user/42/".
func UserURI(census string, id int64) string {
	return census + "user/" + strconv.FormatInt(id, 10) + "/"
}

// UserID returns the ID of the user whose URI is uri. census is the base URL of Census. ok is false
// unless uri is exactly what [UserURI] returns for that ID. Another case, a port, a query or
// leading zeros are not accepted.
func UserID(census, uri string) (id int64, ok bool) {
	rest, under := strings.CutPrefix(uri, census+"user/")
	digits, closed := strings.CutSuffix(rest, "/")
	if !under || !closed {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil && id > 0 && UserURI(census, id) == uri
}
