package postgres

import (
	"context"
	"fmt"

	"example.com/micromachine/census"
)

// AddViewer lets viewer see a user. The actor must be the user or an administrator. It returns nil
// when viewer may already see the user.
func (s *Store) AddViewer(ctx context.Context, actor census.Actor, id, viewer int64) error {
	err := s.changeViewer(ctx, actor, id, viewer, `
		insert into viewers (user_id, viewer_id) select id, @viewer::bigint from changeable on conflict do nothing`)
	if violatedConstraint(err) == "viewers_viewer_id_fkey" {
		return census.ErrViewerNotFound
	}
	return err
}

// RemoveViewer withdraws viewer's right to see a user. The actor must be the user or an
// administrator. It returns nil when viewer had no such right.
func (s *Store) RemoveViewer(ctx context.Context, actor census.Actor, id, viewer int64) error {
	return s.changeViewer(ctx, actor, id, viewer, `
		delete from viewers using changeable where user_id = changeable.id and viewer_id = @viewer::bigint`)
}

// changeViewer runs a statement that changes viewers. The statement can use the table changeable,
// which has the ID of the user if the actor may change them, and is empty otherwise.
func (s *Store) changeViewer(ctx context.Context, actor census.Actor, id, viewer int64, change string) error {
	args := actorArgs(actor)
	args["id"], args["viewer"] = id, viewer
	var may bool
	err := s.pool.QueryRow(ctx, `
		with changeable as (select u.id from users u where u.id = @id and `+mayChange+`),
			change as (`+change+`)
		select exists (select from changeable)`, args).Scan(&may)
	switch {
	case violatedConstraint(err) == "viewers_user_id_fkey": // the user was deleted in the meantime
		return s.refusal(ctx, actor)
	case err != nil:
		return fmt.Errorf("changing viewers: %w", err)
	case !may:
		return s.refusal(ctx, actor)
	}
	return nil
}
