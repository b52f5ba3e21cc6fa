package chains

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Multiply copies Herald's notifications, with their attempts and jobs, until there are about
// count. It copies all columns that the tables have, so that it also works with other versions of
// the schema.
func (s *Side) Multiply(ctx context.Context, count int) error {
	conn, err := pgx.Connect(ctx, s.HeraldURL)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var stored int
	if err := conn.QueryRow(ctx, `select count(*) from notifications`).Scan(&stored); err != nil {
		return fmt.Errorf("counting notifications: %w", err)
	}
	for _, t := range []struct{ table, key string }{
		{"notifications", "id"}, {"attempts", "notification_id"}, {"river_job", ""},
	} {
		if err := multiply(ctx, conn, t.table, t.key, count/stored-1); err != nil {
			return fmt.Errorf("copying %s: %w", t.table, err)
		}
	}
	return nil
}

// multiply adds copies of each row of a table. In each copy, the UUID in column key is replaced by
// a new one, which is the same in all tables. Generated columns get new values.
func multiply(ctx context.Context, conn *pgx.Conn, table, key string, copies int) error {
	rows, err := conn.Query(ctx, `
		select column_name::text from information_schema.columns
		where table_schema = current_schema() and table_name = $1 and is_generated = 'NEVER' and is_identity = 'NO'
			and coalesce(column_default, '') not like 'nextval%'`, table)
	if err != nil {
		return err
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	values := make([]string, len(columns))
	for i, column := range columns {
		columns[i] = pgx.Identifier{column}.Sanitize()
		values[i] = columns[i]
		if column == key {
			values[i] = `md5(` + columns[i] + `::text || n)::uuid`
		}
	}
	if len(columns) == 0 { // this version of the schema does not have the table
		return nil
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`insert into %s (%s) select %s from %s, generate_series(1, %d) n`,
		table, strings.Join(columns, ", "), strings.Join(values, ", "), table, copies))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `vacuum analyze `+table)
	return err
}
