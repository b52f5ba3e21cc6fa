package chains

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"example.com/micromachine/e2e/stack"
	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/svcauth"
	"example.com/micromachine/pkg/svcauth/bench/internal/proc"
	"example.com/micromachine/pkg/svcauth/bench/internal/traffic"
	"example.com/micromachine/pkg/svcauth/keys"
	"example.com/micromachine/pkg/svcauth/trust"
)

// The services that call Census and Herald. Their keys and their trust entries are those of the
// demo. Shop sends the POSTs and reads users. Office manages users. Another sends POSTs by the
// profile of the article.
const (
	Shop    = "shop"
	Office  = "office"
	Another = "another"
)

var callerURLs = map[string]string{
	Shop: "https://shop.service/", Office: "https://office.service/", Another: "https://another.service/",
}

// Built starts the built Census and Herald, with TLS, keys and the demo's trust files.
func (s *Site) Built(ctx context.Context, name, smtpAddr string) (*Side, error) {
	side, err := s.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.startBuilt(ctx, side, smtpAddr); err != nil {
		return nil, errors.Join(err, side.Close())
	}
	return side, nil
}

func (s *Site) startBuilt(ctx context.Context, side *Side, smtpAddr string) error {
	if err := stack.Prepare(ctx, s.BinDir, side.dir); err != nil {
		return err
	}
	var heraldAddr string
	if err := freeAddrs(&side.CensusAddr, &heraldAddr); err != nil {
		return err
	}
	census := append(side.environ("census", side.CensusAddr),
		"CENSUS_DATABASE_URL="+side.CensusURL, "CENSUS_CONNECT_TO=herald.service:443:"+heraldAddr)
	herald := append(side.environ("herald", heraldAddr),
		"HERALD_DATABASE_URL="+side.HeraldURL, "HERALD_CONNECT_TO=census.service:443:"+side.CensusAddr,
		"HERALD_SMTP_ADDR="+smtpAddr, "HERALD_SMTP_TLS=insecure-plaintext", "HERALD_MAIL_FROM=Herald <herald@example.com>")
	var err error
	if side.Census, err = s.startService(ctx, side, "census", census); err != nil {
		return err
	}
	if err := side.addUsers(ctx, s.Users); err != nil {
		return fmt.Errorf("adding users: %w", err)
	}
	if side.Herald, err = s.startService(ctx, side, "herald", herald); err != nil {
		return err
	}
	side.Target.Addr = heraldAddr
	if side.Target.TLS, err = side.TLS("herald.service"); err != nil {
		return err
	}
	side.Target, err = side.TargetOf(Shop, trust.Bound)
	return err
}

// TargetOf returns the side's Herald as a target of POSTs by a caller.
func (s *Side) TargetOf(caller string, profile trust.Profile) (traffic.Target, error) {
	target := s.Target
	signer, err := s.signer(caller, profile)
	if err != nil {
		return target, err
	}
	target.Request = func(buffer []byte, user int) ([]byte, error) {
		body := notification(user)
		token, err := sign(signer, http.MethodPost, stack.HeraldURL, "notification/", body, user)
		if err != nil {
			return nil, err
		}
		return post(buffer, "herald.service", token, body), nil
	}
	return target, nil
}

func freeAddrs(addrs ...*string) (err error) {
	for _, addr := range addrs {
		if *addr, err = proc.FreeAddr(); err != nil {
			return err
		}
	}
	return nil
}

// environ returns the settings that both services have.
func (s *Side) environ(service, addr string) []string {
	prefix, dir := strings.ToUpper(service), filepath.Join(s.dir, service)
	return []string{
		prefix + "_LISTEN=" + addr,
		prefix + "_TLS_CERT_FILE=" + filepath.Join(dir, "tls.pem"),
		prefix + "_TLS_KEY_FILE=" + filepath.Join(dir, "tls-key.pem"),
		prefix + "_KEY_FILE=" + filepath.Join(dir, "keys"),
		prefix + "_TRUST_FILE=" + filepath.Join(dir, "trust.yaml"),
		prefix + "_CA_FILE=" + filepath.Join(dir, "ca.pem"),
	}
}

// startService migrates a service's database and starts the service.
func (s *Site) startService(ctx context.Context, side *Side, name string, env []string) (*proc.Process, error) {
	var admin string
	if err := freeAddrs(&admin); err != nil {
		return nil, err
	}
	env = append(env, strings.ToUpper(name)+"_ADMIN_LISTEN="+admin)
	program := filepath.Join(s.BinDir, name)
	if err := run(ctx, env, program, "migrate"); err != nil {
		return nil, err
	}
	return side.start(ctx, name, proc.Command{
		Program: program, Args: []string{"serve"}, Env: env,
		Ready: func(ctx context.Context) error { return run(ctx, env, program, "healthcheck") },
	})
}

func run(ctx context.Context, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return nil
}

// TLS returns the client's TLS configuration for an HTTP/1.1 connection to Census or Herald.
func (s *Side) TLS(service string) (*tls.Config, error) {
	roots, err := httpclient.LoadRoots(filepath.Join(s.dir, "callers", "ca.pem"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: roots, ServerName: service, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}, nil
}

// Signer returns the signer of a caller.
func (s *Side) Signer(caller string) (*svcauth.Signer, error) { return s.signer(caller, trust.Bound) }

func (s *Side) signer(caller string, profile trust.Profile) (*svcauth.Signer, error) {
	key, err := keys.Load(filepath.Join(s.dir, "callers", caller+".pem"))
	if err != nil {
		return nil, err
	}
	return svcauth.NewSigner(svcauth.SignerConfig{Issuer: callerURLs[caller], Key: key, Profile: profile, Lifetime: svcauth.MaxLifetime})
}

// ReadToken returns the token of a GET at Census on behalf of a user. The path has no leading
// slash.
func ReadToken(signer *svcauth.Signer, path string, user int) (string, error) {
	return sign(signer, http.MethodGet, stack.CensusURL, path, "", user)
}

// sign returns the token of a request to a service on behalf of a user.
func sign(signer *svcauth.Signer, method, service, path, body string, user int) (string, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, service+path, strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("making request: %w", err)
	}
	if err := signer.Sign(r, service, svcauth.Subject(userURI(user))); err != nil {
		return "", err
	}
	return r.Header.Get(svcauth.Header), nil
}
