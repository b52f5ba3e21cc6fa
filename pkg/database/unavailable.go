package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// Unavailable reports whether an error says that the database could not do its part: it is not
// there, refuses the connection, is read-only, full, locked, overloaded, or not migrated. That is
// not the service's own fault, and the same request can succeed later. All other errors of the
// database, such as a violated constraint, are the service's to expect.
func Unavailable(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true // whatever the reason, there is no connection
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return unavailableState(pgErr)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.Timeout(err) || slices.ContainsFunc(broken, func(b error) bool { return errors.Is(err, b) })
}

// broken are the errors of a connection that ended, and of a wait that was too long.
var broken = []error{
	pgconn.ErrConnClosed, puddle.ErrClosedPool, driver.ErrBadConn, sql.ErrConnDone,
	io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	syscall.ECONNRESET, syscall.EPIPE, context.DeadlineExceeded, os.ErrDeadlineExceeded,
}

// unavailableClasses are the classes of SQLSTATE (PostgreSQL's manual, appendix A) whose every
// member is unavailability.
var unavailableClasses = []string{
	"08", // connection exceptions, and all that PgBouncer itself reports
	"28", // the server does not take the user or the password
	"53", // insufficient resources: disk full, out of memory, too many connections
	"57", // operator intervention: shutdown, start-up, cancelled statement, statement timeout, idle session timeout
	"58", // errors of the server's own system, such as I/O
	"F0", // the server's configuration
	"XX", // internal errors and damaged data of the server
}

// unavailableStates are single members of other classes.
var unavailableStates = []string{
	"25006", // read-only: a standby, or switched to read-only
	"25P03", // idle-in-transaction timeout, which ended the connection
	"25P04", // transaction timeout
	"26000", // prepared statement unknown: a pooler or a failover has changed the session
	"3D000", // no such database, as while it is restored
	"3F000", // no such schema: not migrated yet
	"40001", // serialisation failure
	"40003", // statement completion unknown
	"40P01", // deadlock
	"42501", // insufficient privilege: the role lacks a grant
	"42703", // no such column: not migrated yet
	"42883", // no such function: not migrated yet
	"42P01", // no such table: not migrated yet
	"42P05", // prepared statement exists: a pooler has changed the session
	"55006", // object in use
	"55P03", // lock timeout
	"72000", // snapshot too old
}

func unavailableState(err *pgconn.PgError) bool {
	if len(err.Code) != 5 {
		return false
	}
	// A migration has changed the columns of a statement that was prepared before; the next try
	// prepares it anew.
	replanned := err.Code == "0A000" && strings.HasPrefix(err.Routine, "RevalidateCachedQuery")
	return replanned || slices.Contains(unavailableClasses, err.Code[:2]) || slices.Contains(unavailableStates, err.Code)
}

// Explain returns an error of the database for whoever runs a command: in one line, and where the
// connection failed, without the user and the database's name.
func Explain(err error) error {
	if err == nil || !Unavailable(err) {
		return err
	}
	text := err.Error()
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		text = connect.Unwrap().Error()
	}
	var lines []string
	for line := range strings.Lines(text) {
		// With sslmode=prefer, each address is tried twice.
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return explained{"the database is not available: " + strings.Join(lines, "; "), err}
}

// explained is an error with another text.
type explained struct {
	text  string
	cause error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.cause }
