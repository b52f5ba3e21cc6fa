package pgtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	stallTimeout   = 30 * time.Second // without a byte
	reportInterval = 2 * time.Second
	maxArchive     = 256 << 20 // bytes
)

// fetch downloads the archive of a platform to a file. It returns an error if the archive does not
// have the SHA-256 that it must have.
func fetch(ctx context.Context, platform, file string, logf func(string, ...any)) error {
	r, err := newRepository()
	if err != nil {
		return err
	}
	defer r.client.CloseIdleConnections()
	want, err := r.digest(ctx, platform)
	if err != nil {
		return err
	}
	logf("download: PostgreSQL %s for %s from %s", downloadVersion, platform, r.base.Redacted())
	got, err := r.save(ctx, platform, file, logf)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the SHA-256 of the archive is %s instead of %q", got, want)
	}
	return nil
}

// save downloads the archive of a platform to a file and returns its SHA-256.
func (r *repository) save(
	ctx context.Context, platform, file string, logf func(string, ...any),
) (digest string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &progress{started: time.Now(), reported: time.Now(), logf: logf}
	response, err := r.get(ctx, platform, "")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer out.Close()
	p.total = response.ContentLength
	p.stalled = time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("no data for %v", stallTimeout)) })
	defer p.stalled.Stop()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, hash, p), io.LimitReader(response.Body, maxArchive)); err != nil {
		return "", fmt.Errorf("downloading, after %s: %w", p, cmp.Or(context.Cause(ctx), err))
	}
	logf("download: %s in %.1f s, unpacking", p, time.Since(p.started).Seconds())
	return hex.EncodeToString(hash.Sum(nil)), out.Close()
}

// A progress counts the bytes of a download that are written to it, and logs their number every
// reportInterval.
type progress struct {
	done, total int64 // total is -1 if unknown
	started     time.Time
	reported    time.Time
	stalled     *time.Timer
	logf        func(format string, args ...any)
}

func (p *progress) Write(data []byte) (int, error) {
	p.stalled.Reset(stallTimeout)
	p.done += int64(len(data))
	if time.Since(p.reported) >= reportInterval {
		p.reported = time.Now()
		p.logf("download: %s", p)
	}
	return len(data), nil
}

func (p *progress) String() string {
	const mega = 1e6
	if p.total <= 0 {
		return fmt.Sprintf("%.1f MB", float64(p.done)/mega)
	}
	return fmt.Sprintf("%.1f of %.1f MB (%d %%)", float64(p.done)/mega, float64(p.total)/mega, 100*p.done/p.total)
}
