package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/micromachine/pkg/pgtest"
)

// A repository is a Maven repository with one archive.
type repository struct {
	archive  []byte // nil: none
	checksum string // of the .sha256 file; "": there is none
	requests atomic.Int32
	// serve sends the archive, by default at once. The number of the request begins at 1.
	serve func(w http.ResponseWriter, r *http.Request, number int32)
}

var archivePath = regexp.MustCompile(`^/mirror/io/zonky/test/postgres/embedded-postgres-binaries-[a-z0-9-]+/` +
	`17\.11\.0/embedded-postgres-binaries-[a-z0-9-]+-17\.11\.0\.jar(\.sha256)?$`)

func (r *repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	checksum := strings.HasSuffix(request.URL.Path, ".sha256")
	switch {
	case !archivePath.MatchString(request.URL.Path), checksum && r.checksum == "", !checksum && r.archive == nil:
		http.NotFound(w, request)
	case checksum:
		fmt.Fprintln(w, r.checksum)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(r.archive)))
		if number := r.requests.Add(1); r.serve != nil {
			r.serve(w, request, number)
			return
		}
		w.Write(r.archive)
	}
}

// sendHalf sends the first half of the archive.
func (r *repository) sendHalf(w http.ResponseWriter) {
	w.Write(r.archive[:len(r.archive)/2])
	w.(http.Flusher).Flush()
}

// start makes the search download from r alone, into an empty cache, which it returns.
func (r *repository) start(t *testing.T) (cache string, server *httptest.Server) {
	t.Helper()
	server = httptest.NewServer(r)
	t.Cleanup(server.Close)
	return onlyDownload(t, server.URL+"/mirror/"), server
}

// onlyDownload makes the search download from a repository alone, into an empty cache, which it
// returns.
func onlyDownload(t *testing.T, repositoryURL string) (cache string) {
	t.Helper()
	dir := sharedTempDir(t)
	for name, value := range map[string]string{
		"DATABASE_URL": "", "PGTEST_REQUIRE": "download", "PGTEST_REPOSITORY": repositoryURL,
		"XDG_CACHE_HOME": dir, "HOME": dir,
	} {
		t.Setenv(name, value)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(base, "micromachine", "postgres")
}

// refused runs a search that must fail, and returns its error. It checks that the error says what
// to install, and that nothing is left in the cache.
func refused(t *testing.T, cache string) string {
	t.Helper()
	var log messages
	server, err := pgtest.Find(t.Context(), log.logf)
	if err == nil {
		server.Stop()
		t.Fatalf("found a server:\n%s", &log)
	}
	if !strings.Contains(err.Error(), "sudo apt-get install postgresql\n") {
		t.Errorf("error %q does not say what to install", err)
	}
	if left := entries(t, cache); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
	return err.Error()
}

// The first download breaks off. The second is complete, and later searches need no repository.
func TestFindDownloads(t *testing.T) {
	archive := installedJar(t)
	r := &repository{archive: archive, checksum: sum(archive)}
	r.serve = func(w http.ResponseWriter, _ *http.Request, number int32) {
		if number == 1 {
			r.sendHalf(w)
			panic(http.ErrAbortHandler)
		}
		w.Write(r.archive)
	}
	cache, repositoryServer := r.start(t)
	defer syscall.Umask(syscall.Umask(0o077)) // another user than root can run the programs all the same

	if cause := refused(t, cache); !strings.Contains(cause, "\ndownload: downloading, after ") {
		t.Errorf("error %q does not say that the download broke off", cause)
	}
	for _, downloaded := range []bool{true, false} {
		var log messages
		server, err := pgtest.Find(t.Context(), log.logf)
		if err != nil {
			t.Fatalf("Find: %v\n%s", err, &log)
		}
		if got := query[string](t, connect(t, server.URL), `show listen_addresses`); got != "127.0.0.1" {
			t.Errorf("listens on %q", got)
		}
		server.Stop()
		if got := strings.Contains(log.String(), " MB (100 %) in "); got != downloaded {
			t.Errorf("says that it downloaded: %t, want %t", got, downloaded)
		}
		if want := " of " + cache; !strings.Contains(log.String(), want) {
			t.Errorf("did not log %q but:\n%s", want, &log)
		}
		repositoryServer.Close()
	}
	if n := len(entries(t, cache)); n != 1 {
		t.Errorf("%d entries in the cache, want that of the programs", n)
	}
}

// fakePrograms are programs that report a version and then fail.
func fakePrograms() []entry {
	return []entry{
		{name: "bin/postgres", mode: 0o700, content: []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 17.11'\n")},
		{name: "bin/initdb", mode: 0o700, content: []byte("#!/bin/sh\necho 'these are fake programs'\nexit 1\n")},
	}
}

// Two processes start at once. One downloads, slowly, and reports its progress. Both run the
// programs.
func TestFindDownloadsOnceForTwoProcesses(t *testing.T) {
	archive := jar(t, fakePrograms()...)
	r := &repository{archive: archive, checksum: sum(archive)}
	r.serve = func(w http.ResponseWriter, _ *http.Request, _ int32) {
		r.sendHalf(w)
		time.Sleep(2100 * time.Millisecond)
		w.Write(r.archive[len(r.archive)/2:])
	}
	r.start(t)
	outputs := make(chan string)
	for range 2 {
		go func() {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNewDropsWhenTheTestEnds$")
			out, _ := child.CombinedOutput() // it fails at initdb
			outputs <- string(out)
		}()
	}
	all := <-outputs + <-outputs
	if n := r.requests.Load(); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
	for pattern, want := range map[string]int{
		`download: waiting for another process`:       1,
		`download: \d+\.\d of \d+\.\d MB \(\d+ %\)\n`: 1,
		`these are fake programs`:                     2,
	} {
		if n := len(regexp.MustCompile(pattern).FindAllString(all, -1)); n != want {
			t.Errorf("printed %d times, want %d: %s\n%s", n, want, pattern, all)
		}
	}
}

func TestFindRefusesArchives(t *testing.T) {
	pinned, err := pgtest.PinnedDigest()
	if err != nil {
		unavailable(t, err.Error())
	}
	good := entry{name: "bin/postgres", mode: 0o755, content: []byte("#!/bin/sh\n")}
	txz := compressed(t, good)
	whole := jar(t, good)
	for _, test := range []struct {
		name     string
		archive  []byte
		checksum string // "": the archive's
		want     string
	}{
		{"wrong checksum", whole, sum([]byte("another archive")), "is " + sum(whole) + " instead of"},
		{"no checksum", whole, "none", `instead of "` + pinned + `"`},
		{"truncated", whole[:len(whole)/2], "", "not a valid zip file"},
		{"truncated inside", zipped(t, txz[:len(txz)/2]), "", "unexpected EOF"},
		{"path out of the folder", jar(t, good, entry{name: "../../evil", mode: 0o644}), "", "../../evil: "},
		{"absolute path", jar(t, good, entry{name: "/tmp/evil", mode: 0o644}), "", "/tmp/evil: "},
		{"link out of the folder", jar(t, good, entry{name: "lib/evil", link: "../../../evil"}), "", ": link to "},
		{"absolute link", jar(t, good, entry{name: "evil", link: "/etc/passwd"}), "", ": link to "},
		{"no programs", jar(t, entry{name: "share/postgres.bki", mode: 0o644}), "", "has no bin/postgres"},
		{"not an archive", []byte("<html>"), "", "not a valid zip file"},
		{"no archive", nil, "", "404 Not Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &repository{archive: test.archive, checksum: test.checksum}
			switch test.checksum {
			case "":
				r.checksum = sum(test.archive)
			case "none":
				r.checksum = ""
			}
			cache, _ := r.start(t)
			if cause := refused(t, cache); !strings.Contains(cause, test.want) {
				t.Errorf("error %q does not contain %q", cause, test.want)
			}
		})
	}
}

func TestFindOffline(t *testing.T) {
	cache := onlyDownload(t, "http://127.0.0.1:1")
	if cause := refused(t, cache); !strings.Contains(cause, "connection refused") {
		t.Errorf("error %q does not contain the cause", cause)
	}
}

func TestFindRefusesRepositories(t *testing.T) {
	redirecting := httptest.NewServer(http.RedirectHandler("http://mirror.example/", http.StatusFound))
	t.Cleanup(redirecting.Close)
	for _, test := range []struct{ name, repositoryURL, want string }{
		{"by http", "http://someone:secret@mirror.example/maven2", "only https://"},
		{"redirects to http", redirecting.URL, "only https://"},
		{"not a URL", "https://someone:secret@mirror.example:port", "is not a URL"},
		{"password", "https://someone:secret@127.0.0.1:1", "connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cause := refused(t, onlyDownload(t, test.repositoryURL))
			if !strings.Contains(cause, test.want) {
				t.Errorf("error %q does not contain %q", cause, test.want)
			}
			if strings.Contains(cause, "secret") {
				t.Errorf("error %q contains the password", cause)
			}
		})
	}
}

func TestFindCancelledDuringADownload(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	archive := jar(t, entry{name: "bin/postgres", mode: 0o755})
	r := &repository{archive: archive, checksum: sum(archive)}
	r.serve = func(w http.ResponseWriter, request *http.Request, _ int32) {
		r.sendHalf(w)
		cancel()
		<-request.Context().Done()
	}
	cache, _ := r.start(t)
	server, err := pgtest.Find(ctx, t.Logf)
	if err == nil {
		server.Stop()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Find: %v, want that it was cancelled", err)
	}
	if left := entries(t, cache); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}
