package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// sharedVersions is the table in which both services once recorded their migrations: goose's default.
const sharedVersions = "goose_db_version"

// A versionLock is goose's lock. Whoever gets it finds the service's own version table, with the versions that an
// earlier release recorded in the shared one.
type versionLock struct {
	lock     lock.SessionLocker
	versions database.Store
	made     map[int64]string // a table that each of the versions in sharedVersions makes
}

func newVersionLock(table string, made map[int64]string) (*versionLock, error) {
	// Whoever waits looks again each second, for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("preparing migration lock: %w", err)
	}
	store, err := database.NewStore(goose.DialectPostgres, table)
	if err != nil {
		return nil, fmt.Errorf("preparing version table: %w", err)
	}
	return &versionLock{lock: locker, versions: store, made: made}, nil
}

// SessionLock implements [lock.SessionLocker].
func (l *versionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := l.lock.SessionLock(ctx, conn); err != nil {
		return err
	}
	if err := l.takeOver(ctx, conn); err != nil {
		return errors.Join(fmt.Errorf("reading the versions of an earlier release: %w", err), l.SessionUnlock(ctx, conn))
	}
	return nil
}

// SessionUnlock implements [lock.SessionLocker].
func (l *versionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	return l.lock.SessionUnlock(ctx, conn)
}

// takeOver fills the service's version table when it has no version yet. (goose makes the table, with the version 0,
// before it takes the lock.)
func (l *versionLock) takeOver(ctx context.Context, conn *sql.Conn) error {
	var shared bool
	err := conn.QueryRowContext(ctx, `
		select to_regclass($1) is not null and not exists (select from `+l.versions.Tablename()+` where version_id > 0)`,
		sharedVersions).Scan(&shared)
	if err != nil || !shared {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	versions, err := l.recorded(ctx, tx)
	if err != nil {
		return err
	}
	for _, version := range versions {
		if err := l.versions.Insert(ctx, tx, database.InsertRequest{Version: version}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// recorded returns the service's versions that were run. What the shared table says may concern the other service's
// migration of the same number, so the table that the migration makes must be there, too.
func (l *versionLock) recorded(ctx context.Context, tx *sql.Tx) ([]int64, error) {
	var versions []int64
	for version := int64(1); version <= int64(len(l.made)); version++ {
		var run bool
		err := tx.QueryRowContext(ctx, `
			select to_regclass($1) is not null
				and exists (select from `+sharedVersions+` where version_id = $2 and is_applied)`,
			l.made[version], version).Scan(&run)
		if err != nil {
			return nil, err
		}
		if run {
			versions = append(versions, version)
		}
	}
	return versions, nil
}
