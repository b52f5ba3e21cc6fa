package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// startInstalled runs the installed PostgreSQL programs.
func startInstalled(ctx context.Context, logf func(string, ...any)) (*Server, error) {
	bin, version, err := findPrograms(ctx, logf)
	if err != nil {
		return nil, err
	}
	return startPrograms(ctx, bin, version, logf)
}

// startPrograms runs the PostgreSQL programs of a directory.
func startPrograms(ctx context.Context, bin string, version int, logf func(string, ...any)) (*Server, error) {
	credential, err := unprivileged()
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, password: rand.Text(), credential: credential}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	logf("PostgreSQL: version %d of %s, on 127.0.0.1:%d", version, bin, c.port)
	return &Server{URL: serverURL("127.0.0.1", c.port, c.password), stop: c.stop}, nil
}

// programPlaces are the directories outside PATH where packages install the programs.
var programPlaces = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // PostgreSQL's own packages for Fedora and the like
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/opt/homebrew/bin",
}

// findPrograms returns the first directory with the programs of a supported version.
func findPrograms(ctx context.Context, logf func(string, ...any)) (bin string, version int, err error) {
	for _, dir := range programDirs() {
		dir, err := filepath.Abs(dir) // the programs run in another directory
		if err != nil {
			continue
		}
		version, err := programVersion(ctx, dir)
		switch {
		case err != nil:
			continue
		case version < minVersion:
			logf("%s: PostgreSQL %d, needed is %d or later", dir, version, minVersion)
		default:
			return dir, version, nil
		}
	}
	return "", 0, fmt.Errorf("no PostgreSQL %d or later", minVersion)
}

// programDirs returns the directories of PATH, then those of programPlaces, the newest version of
// each pattern first.
func programDirs() []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range programPlaces {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		slices.SortFunc(found, func(a, b string) int { return pathVersion(b) - pathVersion(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

var number = regexp.MustCompile(`\d+`)

func pathVersion(path string) int {
	n, _ := strconv.Atoi(number.FindString(path))
	return n
}

var programVersionLine = regexp.MustCompile(`(?m)^postgres \(PostgreSQL\) (\d+)`)

func programVersion(ctx context.Context, dir string) (int, error) {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // macOS examines a new program before its first run
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	match := programVersionLine.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("reading version of %s: %q", dir, out)
	}
	return strconv.Atoi(string(match[1]))
}

// unprivileged returns the user to run the programs as. They refuse to run as root. It returns nil
// when this process does not run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("reading account %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("the server refuses to run as root, and there is no user postgres or nobody")
}

// portTries is the largest number of ports to try.
const portTries = 20

// randomPort returns a port below the ephemeral ranges of common systems, so that no outgoing
// connection uses it.
func randomPort() int {
	n, err := rand.Int(rand.Reader, big.NewInt(10000))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return 20000 + int(n.Int64())
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
