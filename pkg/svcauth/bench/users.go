package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// userCount is the number of users. Their IDs start at 1.
const userCount = 1000

// users are the rows that the service reads, in a separate schema.
type users struct {
	pool   *pgxpool.Pool
	schema string
}

type user struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

func newUsers(ctx context.Context, databaseURL string) (*users, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing DATABASE_URL: %w", err)
	}
	u := &users{schema: "svcauth_bench_" + strings.ToLower(rand.Text())}
	config.ConnConfig.RuntimeParams["search_path"] = u.schema
	config.MaxConns = 16
	if u.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	if err := u.create(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("creating users: %w", err), u.drop())
	}
	return u, nil
}

func (u *users) create(ctx context.Context) error {
	for _, statement := range []string{
		`create schema ` + u.schema,
		`create table bench_users (id bigint primary key, name text not null, email text not null)`,
		fmt.Sprintf(`insert into bench_users
			select n, 'User ' || n, 'user' || n || '@example.com' from generate_series(1, %d) n`, userCount),
		`analyze bench_users`,
	} {
		if _, err := u.pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// drop deletes the schema and closes the pool, also after an interrupt.
func (u *users) drop() error {
	defer u.pool.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := u.pool.Exec(ctx, `drop schema if exists `+u.schema+` cascade`); err != nil {
		return fmt.Errorf("dropping schema: %w", err)
	}
	return nil
}

func (u *users) byID(ctx context.Context, id int64) (user, error) {
	rows, err := u.pool.Query(ctx, `select id, name, email from bench_users where id = $1`, id)
	if err != nil {
		return user{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[user])
}
