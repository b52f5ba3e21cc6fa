package censusclient

import (
	"strconv"
	"strings"
)

// UserURI returns the URI of a user, such as "https://census.service/user/42/".
func (c *Client) UserURI(id int64) string {
	return c.url + "user/" + strconv.FormatInt(id, 10) + "/"
}

// UserID returns the ID of the user whose URI is uri. ok is false unless uri is exactly what
// [Client.UserURI] returns for that ID. Another case, a port, a query or leading zeros are not
// accepted.
func (c *Client) UserID(uri string) (id int64, ok bool) {
	rest, under := strings.CutPrefix(uri, c.url+"user/")
	digits, closed := strings.CutSuffix(rest, "/")
	if !under || !closed {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil && id > 0 && c.UserURI(id) == uri
}
