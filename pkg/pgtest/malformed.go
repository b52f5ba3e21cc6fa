package pgtest

import "strings"

// MalformedSettings returns connection strings that contain the password, most of them in wrong
// places. No server listens on their addresses. A program must not reveal the password of any of
// them.
func MalformedSettings(password string) []string {
	settings := strings.Split(strings.TrimSpace(malformedSettings), "\n")
	settings = append(settings, " postgres://u:PASSWORD@127.0.0.1:1/x", "postgres://u:PASSWORD\x7f@127.0.0.1:1/x",
		"postgres://u:x\nPASSWORD@127.0.0.1:1/x", "host=127.0.0.1 port=1 password=x\nPASSWORD")
	for i, setting := range settings {
		settings[i] = strings.ReplaceAll(setting, "PASSWORD", password)
	}
	return settings
}

const malformedSettings = `
PASSWORD
=PASSWORD
PASSWORD=
PASSWORD=x
host=127.0.0.1 port=1 user=u password=x PASSWORD
host=127.0.0.1 port=1 user=u password=x PASSWORD=
host=127.0.0.1 port=1 user=u password=x PASSWORD dbname=x
host=127.0.0.1 port=1 user=u password='PASSWORD
host=127.0.0.1 port=1 user=u password='PASSWORD''
host=127.0.0.1 port=1 user=u password = 'x PASSWORD
host=127.0.0.1 port=1 user=u pass word=PASSWORD
host=127.0.0.1 port=PASSWORD user=u
host=127.0.0.1 port=1 user=u password=PASSWORD sslmode=PASSWORD
host=127.0.0.1 port=1 user=u password=PASSWORD connect_timeout=PASSWORD
host=127.0.0.1 port=1 user=u password=PASSWORD pool_max_conns=PASSWORD
host=127.0.0.1 port=1 user=u password=PASSWORD pool_max_conn_lifetime=PASSWORD
host=127.0.0.1 port=1 user=u password=PASSWORD pool_PASSWORD=1
host=127.0.0.1 port=1 user=u password=PASSWORD sslmode=verify-full sslrootcert=PASSWORD
host=127.0.0.1 port=1 user=u password=PASSWORD service=PASSWORD
host=127.0.0.1 port=1 user=u password=PASSWORD target_session_attrs=PASSWORD
host=127.0.0.1 port=1 user=u Password=PASSWORD
host=PASSWORD@127.0.0.1 port=1 user=u
host=127.0.0.1 port=1 user=u password=PASSWORD
postgres://u:PASSWORD@127.0.0.1:1/x
postgres://u:PASSWORD@127.0.0.1:x/x
postgres://u:PASSWORD@/127.0.0.1:x/x
postgres://u:PASSWORD/@127.0.0.1:1/x
postgres://u:x/PASSWORD@127.0.0.1:1/x
postgres://u:1/PASSWORD@127.0.0.1:1/x
postgres://u:1/x?PASSWORD=1@127.0.0.1:1/x
postgres://u:x@PASSWORD@127.0.0.1:1/x
postgres://u:x#PASSWORD@127.0.0.1:1/x
postgres://u:x?PASSWORD@127.0.0.1:1/x
postgres://u:%PASSWORD@127.0.0.1:1/x
postgres://u:x PASSWORD@127.0.0.1:1/x
postgres://u:PASSWORD:x@127.0.0.1:1/x
postgres://u:x@127.0.0.1:PASSWORD
postgres://u:PASSWORD@127.0.0.1:1/x?sslmode=PASSWORD
postgres://u:PASSWORD@127.0.0.1:1/x?pool_max_conns=PASSWORD
postgres://127.0.0.1:1/x?user=u&password=PASSWORD&sslmode=x
postgres://127.0.0.1:1/x?password=PASSWORD
postgres:/u:PASSWORD@127.0.0.1:1/x
postgres:u:PASSWORD@127.0.0.1:1/x
mysql://u:PASSWORD@127.0.0.1:1/x
://u:PASSWORD@127.0.0.1:1/x
POSTGRES://u:PASSWORD@127.0.0.1:1/x
"postgres://u:PASSWORD@127.0.0.1:1/x"
u:PASSWORD@127.0.0.1:1/x
postgres://u:PASSWORD@[::1:1/x
`
