// Package plain is a simple implementation of the chain: Herald accepts a POST, inserts one River
// job and sends a mail to the user that it reads from Census. It has no attempts, ownership, replay
// store or TLS. The tuned variant has settings of the libraries chosen for speed. Each service is a
// separate process, like Census and Herald.
package plain

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The arguments that make this program run as one of the services. The services read their settings
// from the environment.
const (
	CensusCommand = "plain-census"
	HeraldCommand = "plain-herald"
)

// The names of the services in tokens.
const (
	Caller = "http://shop.service/"
	Herald = "http://herald.service/"
	Census = "http://census.service/"
)

// A hexKey is a public key or the seed of a private key, in hexadecimal in the environment.
type hexKey []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *hexKey) UnmarshalText(text []byte) (err error) {
	*k, err = hex.DecodeString(string(text))
	return err
}

// settings are the settings of both services.
type settings struct {
	Listen      string `env:"PLAIN_LISTEN,notEmpty"`
	DatabaseURL string `env:"PLAIN_DATABASE_URL,notEmpty"`
	PoolSize    int32  `env:"PLAIN_POOL_SIZE"`  // zero: the default of pgx
	CallerKey   hexKey `env:"PLAIN_CALLER_KEY"` // the public key; empty: no authentication
	CertFile    string `env:"PLAIN_CERT_FILE"`  // empty: plain HTTP
	KeyFile     string `env:"PLAIN_KEY_FILE"`
}

func (s settings) pool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing database URL: %w", err)
	}
	if s.PoolSize > 0 {
		config.MaxConns = s.PoolSize
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// serve serves until ctx ends.
func (s settings) serve(ctx context.Context, handler http.Handler) error {
	server := &http.Server{Addr: s.Listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	var err error
	if s.CertFile != "" {
		err = server.ListenAndServeTLS(s.CertFile, s.KeyFile)
	} else {
		err = server.ListenAndServe()
	}
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return <-stopped
}

// parse reads a service's settings from the environment.
func parse[T any]() (T, error) {
	s, err := env.ParseAs[T]()
	if err != nil {
		return s, fmt.Errorf("reading settings: %w", err)
	}
	return s, nil
}

func (k hexKey) public() ed25519.PublicKey   { return ed25519.PublicKey(k) }
func (k hexKey) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k) }
