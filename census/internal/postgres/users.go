package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/micromachine/census"
)

// A userRead is a request to read one user on behalf of an actor.
type userRead struct {
	actor census.Actor
	id    int64
}

// User returns a user whom the actor may see: the actor's own record, a user who made the actor a
// viewer, or any user when the actor is an administrator. Concurrent calls share a statement.
func (s *Store) User(ctx context.Context, actor census.Actor, id int64) (census.User, error) {
	user, err := s.reads.Do(ctx, userRead{actor, id})
	switch {
	case err != nil:
		return census.User{}, fmt.Errorf("querying user: %w", err)
	case user == nil:
		return census.User{}, s.refusal(ctx, actor)
	}
	return *user, nil
}

// usersSQL selects, for each read, the user if its actor may see them. The limit stops the planner
// from replacing the look-ups by ID with a scan of the table. The select in unnest hides the length
// of the array from the planner. Otherwise a plan for a short array looks cheaper than one for any
// array, and PostgreSQL plans the statement at each execution. Planning takes longer than execution.
var usersSQL = strings.NewReplacer("@actor", "r.actor", "@admin", "r.admin", "@operator", "r.operator").Replace(`
	select r.place, u.id, u.name, u.email, u.locale, u.admin
	from unnest((select $1::bigint[]), $2::bigint[], $3::bool[], $4::bool[]) with ordinality
			as r (id, actor, admin, operator, place),
		lateral (select ` + userColumns + ` from users u where u.id = r.id and ` + maySee + ` limit 1) u`)

// readUsers reads a batch of users. The result is nil for a user who does not exist or whom the
// actor may not see.
func (s *Store) readUsers(ctx context.Context, reads []userRead) ([]*census.User, error) {
	n := len(reads)
	ids, actors, admins, operators := make([]int64, n), make([]int64, n), make([]bool, n), make([]bool, n)
	for i, r := range reads {
		ids[i], actors[i], admins[i], operators[i] = r.id, r.actor.ID, r.actor.Admin, r.actor.IsOperator()
	}
	rows, err := s.pool.Query(ctx, usersSQL, ids, actors, admins, operators)
	if err != nil {
		return nil, err
	}
	users := make([]*census.User, n)
	var place int // in the batch, starting at 1
	var u census.User
	_, err = pgx.ForEachRow(rows, []any{&place, &u.ID, &u.Name, &u.Email, &u.Locale, &u.Admin}, func() error {
		found := u
		users[place-1] = &found
		return nil
	})
	return users, err
}

// Users returns one page of the list of all users. The actor must be an administrator.
func (s *Store) Users(ctx context.Context, actor census.Actor, query census.Query) (census.Page, error) {
	args := actorArgs(actor)
	args["after"], args["email"], args["rows"] = query.After, strings.ToLower(query.Email), query.Limit+1
	// The selects hide the values from the planner, as in usersSQL.
	sql := `select ` + userColumns + ` from users u where u.id > (select @after::bigint) and ` + isAdmin
	if query.Email != "" {
		sql += ` and lower(u.email) = @email`
	}
	rows, err := s.pool.Query(ctx, sql+` order by u.id limit (select @rows::bigint)`, args)
	if err != nil {
		return census.Page{}, fmt.Errorf("listing users: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowToStructByName[census.User])
	if err != nil {
		return census.Page{}, fmt.Errorf("listing users: %w", err)
	}
	if len(users) == 0 { // the end of the list, or the actor is no administrator
		if err := s.refusal(ctx, actor); !errors.Is(err, census.ErrNotFound) {
			return census.Page{}, err
		}
	}
	more := len(users) > query.Limit
	return census.Page{Users: users[:min(len(users), query.Limit)], More: more}, nil
}

// CreateUser stores a new user and returns it with its ID. The actor must be an administrator. Only
// the operator may set the ID; IDs that are assigned later are greater. The error for invalid
// fields is a [*census.InvalidError].
func (s *Store) CreateUser(ctx context.Context, actor census.Actor, user census.User) (census.User, error) {
	user, err := user.Normalize()
	if err != nil {
		return census.User{}, err
	}
	if user.ID == 0 {
		return insertUser(ctx, s.pool, actor, user)
	}
	if !actor.IsOperator() {
		return census.User{}, census.ErrForbidden
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// The lock keeps other transactions from taking IDs from the sequence until the commit.
		// Without it, setval could move the sequence back behind an ID already taken.
		if _, err := tx.Exec(ctx, `lock table users in share row exclusive mode`); err != nil {
			return fmt.Errorf("locking users: %w", err)
		}
		if user, err = insertUser(ctx, tx, actor, user); err != nil {
			return err
		}
		return skipIDs(ctx, tx, user.ID)
	})
	return user, err
}

func insertUser(ctx context.Context, q querier, actor census.Actor, user census.User) (census.User, error) {
	args := actorArgs(actor)
	args["id"], args["name"], args["email"] = user.ID, user.Name, user.Email
	args["locale"], args["make_admin"] = user.Locale, user.Admin
	user, err := queryUser(ctx, q, `
		insert into users as u (id, name, email, locale, admin)
		select coalesce(nullif(@id::bigint, 0), nextval(pg_get_serial_sequence('users', 'id'))),
			@name::text, @email::text, @locale::text, @make_admin::boolean
		where `+isAdmin+`
		returning `+userColumns, args)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return census.User{}, census.ErrForbidden
	case violatedConstraint(err) == "users_pkey":
		return census.User{}, census.ErrIDTaken
	}
	return user, err
}

// skipIDs advances the sequence of IDs, if needed, so that its next value is above id.
func skipIDs(ctx context.Context, tx pgx.Tx, id int64) error {
	_, err := tx.Exec(ctx, `
		select setval(pg_get_serial_sequence('users', 'id'), $1) from users_id_seq where last_value <= $1`, id)
	if err != nil {
		return fmt.Errorf("moving the sequence of IDs: %w", err)
	}
	return nil
}

// UpdateUser changes a user and returns the result. The actor must be the user or an administrator.
// The error for invalid fields is a [*census.InvalidError].
func (s *Store) UpdateUser(
	ctx context.Context, actor census.Actor, id int64, update census.Update,
) (census.User, error) {
	update, err := update.Normalize()
	if err != nil {
		return census.User{}, err
	}
	args := actorArgs(actor)
	args["id"], args["name"], args["email"], args["locale"] = id, update.Name, update.Email, update.Locale
	user, err := queryUser(ctx, s.pool, `
		update users u
		set name = coalesce(@name, name), email = coalesce(@email, email), locale = coalesce(@locale, locale)
		where u.id = @id and `+mayChange+`
		returning `+userColumns, args)
	if errors.Is(err, pgx.ErrNoRows) {
		return census.User{}, s.refusal(ctx, actor)
	}
	return user, err
}

// DeleteUser deletes a user with all grants to and from the user. The actor must be the user or an
// administrator.
func (s *Store) DeleteUser(ctx context.Context, actor census.Actor, id int64) error {
	args := actorArgs(actor)
	args["id"] = id
	deleted := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Two users who are viewers of each other may be deleted at the same time. Each deletion
		// deletes both grants. Locking the grants in one order prevents a deadlock.
		_, err := tx.Exec(ctx, `
			select from viewers g join users u on u.id = @id
			where (g.user_id = u.id or g.viewer_id = u.id) and `+mayChange+`
			order by g.user_id, g.viewer_id for update of g`, args)
		if err != nil {
			return fmt.Errorf("locking grants: %w", err)
		}
		tag, err := tx.Exec(ctx, `delete from users u where u.id = @id and `+mayChange, args)
		if err != nil {
			return fmt.Errorf("deleting user: %w", err)
		}
		deleted = tag.RowsAffected() > 0
		return nil
	})
	if err == nil && !deleted {
		return s.refusal(ctx, actor)
	}
	return err
}

// queryUser runs a statement that returns one user. It returns [pgx.ErrNoRows] when there is none.
func queryUser(ctx context.Context, q querier, sql string, args pgx.NamedArgs) (census.User, error) {
	rows, err := q.Query(ctx, sql, args)
	if err != nil {
		return census.User{}, fmt.Errorf("querying user: %w", err)
	}
	user, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[census.User])
	switch {
	case violatedConstraint(err) == "users_email_key":
		return census.User{}, census.ErrEmailTaken
	case err != nil:
		return census.User{}, fmt.Errorf("querying user: %w", err)
	}
	return user, nil
}
