package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// An Unreliable is a database in which a test causes outages. Its URL leads through a proxy and
// uses a role that may only read and write.
type Unreliable struct {
	URL string

	tb    testing.TB
	admin *pgx.Conn
	role  string
	table string
	proxy *Proxy
}

// NewUnreliable returns an Unreliable for a database. The outages that affect a table affect the
// given one.
func NewUnreliable(tb testing.TB, databaseURL, table string) *Unreliable {
	tb.Helper()
	admin, err := pgx.Connect(tb.Context(), databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	u := &Unreliable{tb: tb, admin: admin, role: TempName("role"), table: table}
	tb.Cleanup(func() {
		u.exec("rollback")
		u.exec("drop owned by " + u.role)
		u.exec("drop role " + u.role)
		_ = admin.Close(context.Background())
	})
	u.exec("create role " + u.role + " login password 'right'")
	u.exec("grant select, insert, update, delete on all tables in schema public to " + u.role)
	u.exec("grant usage, select, update on all sequences in schema public to " + u.role)
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	u.proxy = NewProxy(tb, parsed.Host)
	parsed.User, parsed.Host = url.UserPassword(u.role, "right"), u.proxy.Addr
	u.URL = parsed.String()
	return u
}

func (u *Unreliable) exec(sql string) {
	u.tb.Helper()
	if _, err := u.admin.Exec(context.Background(), sql); err != nil {
		u.tb.Errorf("%s: %v", sql, err)
	}
}

// breakConnections closes all connections of the role.
func (u *Unreliable) breakConnections() {
	u.exec("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = '" + u.role + "'")
}

// LimitConnections sets the largest number of concurrent connections.
func (u *Unreliable) LimitConnections(n int) {
	u.tb.Helper()
	u.exec(fmt.Sprintf("alter role %s connection limit %d", u.role, n))
}

// An Outage is a temporary failure of a database.
type Outage struct {
	Name string
	// ReadsWork says that reading works and only writing fails.
	ReadsWork bool
	// Hangs says that a statement waits until the client gives up.
	Hangs bool

	begin, end           []string // SQL statements with ROLE and TABLE as placeholders
	beginProxy, endProxy func(*Proxy)
}

// Begin begins the outage.
func (u *Unreliable) Begin(o Outage) {
	u.tb.Helper()
	u.change(o.begin, o.beginProxy)
}

// End ends the outage.
func (u *Unreliable) End(o Outage) {
	u.tb.Helper()
	u.change(o.end, o.endProxy)
}

func (u *Unreliable) change(statements []string, change func(*Proxy)) {
	u.tb.Helper()
	for _, statement := range statements {
		u.exec(strings.NewReplacer("ROLE", u.role, "TABLE", u.table).Replace(statement))
	}
	if change != nil {
		change(u.proxy)
	}
	u.breakConnections() // new connections have the changed settings
}

// Outages returns one outage of each kind.
func Outages() []Outage {
	outages := []Outage{
		{Name: "connection refused", beginProxy: (*Proxy).Refuse, endProxy: (*Proxy).Accept},
		{Name: "no answer", Hangs: true, beginProxy: (*Proxy).Hang, endProxy: (*Proxy).Accept},
		{Name: "locked", Hangs: true, begin: lock, end: unlock},
		altered("too many connections", "connection limit 0", "connection limit -1"),
		altered("password changed", "password 'wrong'", "password 'right'"),
		altered("login revoked", "nologin", "login"),
		waiting("lock timeout", "set lock_timeout = '20ms'", "reset lock_timeout"),
		waiting("statement timeout", "set statement_timeout = '20ms'", "reset statement_timeout"),
		readOnly(),
		{
			Name:  "privilege revoked",
			begin: []string{"revoke all on TABLE from ROLE"},
			end:   []string{"grant select, insert, update, delete on TABLE to ROLE"},
		},
		{
			Name:  "not migrated",
			begin: []string{"alter table TABLE rename to gone"}, end: []string{"alter table gone rename to TABLE"},
		},
	}
	// These errors cannot be caused in a test, so a function raises them.
	for _, state := range []string{"08006", "40001", "40P01", "53100", "53200", "57P03", "58030", "XX000"} {
		outages = append(outages, raising(state))
	}
	return outages
}

func altered(name, begin, end string) Outage {
	return Outage{Name: name, begin: []string{"alter role ROLE " + begin}, end: []string{"alter role ROLE " + end}}
}

var (
	lock   = []string{"begin", "lock table TABLE in access exclusive mode"}
	unlock = []string{"rollback"}
)

// waiting returns an outage in which a table is locked and the role's statements time out.
func waiting(name, begin, end string) Outage {
	o := altered(name, begin, end)
	o.begin, o.end = append(o.begin, lock...), slices.Concat(unlock, o.end)
	return o
}

func readOnly() Outage {
	o := altered("read-only", "set default_transaction_read_only = on", "reset default_transaction_read_only")
	o.ReadsWork = true
	return o
}

// OwnFault returns an outage with an error that the service itself causes, not the database.
func OwnFault() Outage { return raising("22012") }

// raising returns an outage in which each access to a row raises an SQLSTATE.
func raising(state string) Outage {
	return Outage{
		Name: "SQLSTATE " + state,
		begin: []string{
			`create function fail() returns boolean language plpgsql as
				$$ begin raise exception using errcode = '` + state + `', message = 'made up'; end $$`,
			`alter table TABLE enable row level security`,
			`create policy failing on TABLE using (fail()) with check (fail())`,
		},
		end: []string{`drop policy failing on TABLE`, `alter table TABLE disable row level security`, `drop function fail()`},
	}
}
