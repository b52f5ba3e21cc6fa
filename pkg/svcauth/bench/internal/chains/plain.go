package chains

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"example.com/micromachine/pkg/svcauth/bench/internal/plain"
	"example.com/micromachine/pkg/svcauth/bench/internal/proc"
)

// Plain starts the plain chain, with the libraries' default settings or tuned.
func (s *Site) Plain(ctx context.Context, name, smtpAddr string, tuned bool) (*Side, error) {
	side, err := s.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.startPlain(ctx, side, smtpAddr, tuned); err != nil {
		return nil, errors.Join(err, side.Close())
	}
	return side, nil
}

func (s *Site) startPlain(ctx context.Context, side *Side, smtpAddr string, tuned bool) error {
	if err := errors.Join(
		MigrateRiver(ctx, side.HeraldURL), onDatabase(ctx, side.CensusURL, usersTable), side.addUsers(ctx, s.Users),
	); err != nil {
		return err
	}
	var heraldAddr string
	if err := freeAddrs(&side.CensusAddr, &heraldAddr); err != nil {
		return err
	}
	callerPublic, callerKey, callerErr := ed25519.GenerateKey(rand.Reader)
	heraldPublic, heraldKey, heraldErr := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(callerErr, heraldErr); err != nil {
		return fmt.Errorf("generating keys: %w", err)
	}
	common := []string{"PLAIN_TUNED=" + strconv.FormatBool(tuned)}
	if tuned {
		common = append(common, fmt.Sprintf("PLAIN_POOL_SIZE=%d", s.TunedPool))
	}
	var err error
	side.Census, err = side.startPlainService(ctx, plain.CensusCommand, side.CensusAddr, append(common,
		"PLAIN_DATABASE_URL="+side.CensusURL, "PLAIN_CALLER_KEY="+hex.EncodeToString(heraldPublic)))
	if err != nil {
		return err
	}
	side.Herald, err = side.startPlainService(ctx, plain.HeraldCommand, heraldAddr, append(common,
		"PLAIN_DATABASE_URL="+side.HeraldURL, "PLAIN_CALLER_KEY="+hex.EncodeToString(callerPublic),
		"PLAIN_OWN_KEY="+hex.EncodeToString(heraldKey.Seed()), "PLAIN_CENSUS_URL=http://"+side.CensusAddr,
		"PLAIN_SMTP_ADDR="+smtpAddr))
	side.Target.Addr = heraldAddr
	side.Target.Request = func(buffer []byte, user int) ([]byte, error) {
		body := notification(user)
		token, err := plain.Sign(callerKey, plain.Caller, plain.Herald, userURI(user), []byte(body))
		if err != nil {
			return nil, err
		}
		return post(buffer, "herald.service", token, body), nil
	}
	return err
}

// usersTable creates the table of the plain Census.
const usersTable = `create table users (
	id bigint primary key, name text not null, email text not null unique, locale text not null)`

// PlainCensus starts a hand-written Census that uses the side's table and certificate, and returns
// its address. It verifies the tokens that [PlainToken] signs with the private key of caller. A nil
// caller means no authentication.
func (s *Side) PlainCensus(ctx context.Context, poolSize int, caller ed25519.PublicKey) (addr string, err error) {
	if err := freeAddrs(&addr); err != nil {
		return "", err
	}
	certificates := filepath.Join(s.dir, "census")
	_, err = s.startPlainService(ctx, plain.CensusCommand, addr, []string{
		"PLAIN_DATABASE_URL=" + s.CensusURL, fmt.Sprintf("PLAIN_POOL_SIZE=%d", poolSize),
		"PLAIN_CALLER_KEY=" + hex.EncodeToString(caller),
		"PLAIN_CERT_FILE=" + filepath.Join(certificates, "tls.pem"),
		"PLAIN_KEY_FILE=" + filepath.Join(certificates, "tls-key.pem"),
	})
	return addr, err
}

// PlainToken returns a token for a call to a hand-written Census on behalf of a user.
func PlainToken(key ed25519.PrivateKey, user int) (string, error) {
	return plain.Sign(key, plain.Herald, plain.Census, userURI(user), nil)
}

func (s *Side) startPlainService(ctx context.Context, command, addr string, env []string) (*proc.Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding own program: %w", err)
	}
	return s.start(ctx, command, proc.Command{
		Program: program, Args: []string{command}, Env: append(env, "PLAIN_LISTEN="+addr), Ready: proc.Listening(addr),
	})
}

// MigrateRiver creates River's tables.
func MigrateRiver(ctx context.Context, databaseURL string) error {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("reading River's migrations: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrating River's tables: %w", err)
	}
	return nil
}
