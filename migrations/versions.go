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

// sharedVersions is the version table that both services shared in earlier releases: goose's
// default.
const sharedVersions = "goose_db_version"

// versionLock is goose's lock. Once it is held, the service's version table has the versions that
// an earlier release recorded in the shared one.
type versionLock struct {
	lock     lock.SessionLocker
	versions database.Store
	created  map[int64]string // see Set.SharedVersions
}

func newVersionLock(table string, created map[int64]string) (*versionLock, error) {
	// A process that waits tries again each second, for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("preparing migration lock: %w", err)
	}
	store, err := database.NewStore(goose.DialectPostgres, table)
	if err != nil {
		return nil, fmt.Errorf("preparing version table: %w", err)
	}
	return &versionLock{lock: locker, versions: store, created: created}, nil
}

// SessionLock implements [lock.SessionLocker].
func (l *versionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := l.lock.SessionLock(ctx, conn); err != nil {
		return err
	}
	if err := l.copyShared(ctx, conn); err != nil {
		return errors.Join(fmt.Errorf("reading the versions of an earlier release: %w", err), l.SessionUnlock(ctx, conn))
	}
	return nil
}

// SessionUnlock implements [lock.SessionLocker].
func (l *versionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	return l.lock.SessionUnlock(ctx, conn)
}

// copyShared copies the versions of an earlier release to the service's version table when that has
// no version yet. (goose creates the table, with the version 0, before it takes the lock.)
func (l *versionLock) copyShared(ctx context.Context, conn *sql.Conn) error {
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

// recorded returns the versions of the service that the shared table records. A version there may
// be that of the other service, so the table that the migration creates must exist, too.
func (l *versionLock) recorded(ctx context.Context, tx *sql.Tx) ([]int64, error) {
	var versions []int64
	for version := int64(1); version <= int64(len(l.created)); version++ {
		var run bool
		err := tx.QueryRowContext(ctx, `
			select to_regclass($1) is not null
				and exists (select from `+sharedVersions+` where version_id = $2 and is_applied)`,
			l.created[version], version).Scan(&run)
		if err != nil {
			return nil, err
		}
		if run {
			versions = append(versions, version)
		}
	}
	return versions, nil
}
