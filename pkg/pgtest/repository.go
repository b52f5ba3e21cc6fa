package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// repositoryVariable names the Maven repository to download from.
const (
	repositoryVariable = "PGTEST_REPOSITORY"
	mavenCentral       = "https://repo1.maven.org/maven2"
)

// connectTimeout is short because a machine that is offline waits for it at each search.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 15 * time.Second // until the header of the response
)

// A repository is a Maven repository with the archives of zonkyio/embedded-postgres-binaries.
type repository struct {
	client *http.Client
	base   *url.URL
	pinned bool // only the archives of digests are accepted
}

// newRepository returns the repository of PGTEST_REPOSITORY, by default Maven Central. Its errors
// do not contain the URL, which may have a password.
func newRepository() (*repository, error) {
	named := os.Getenv(repositoryVariable)
	base, err := url.Parse(cmp.Or(named, mavenCentral))
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL", repositoryVariable)
	}
	if err := checkSecure(base); err != nil {
		return nil, fmt.Errorf("%s: %w", repositoryVariable, err)
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout:   connectTimeout,
			ResponseHeaderTimeout: answerTimeout,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // for a Content-Length
		},
		CheckRedirect: checkRedirect,
	}
	return &repository{client: client, base: base, pinned: named == ""}, nil
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	return checkSecure(next.URL)
}

// checkSecure returns an error for a URL whose content others could replace on its way.
func checkSecure(u *url.URL) error {
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && local {
		return nil
	}
	return errors.New("only https:// is allowed, or http:// to this machine")
}

// errNotFound is returned for a file that the repository does not have.
var errNotFound = errors.New("404 Not Found")

// get requests the archive of a platform, or with the suffix .sha256 its checksum. The caller must
// close the body.
func (r *repository) get(ctx context.Context, platform, suffix string) (*http.Response, error) {
	name := "embedded-postgres-binaries-" + platform
	u := r.base.JoinPath("io/zonky/test/postgres", name, downloadVersion, name+"-"+downloadVersion+".jar"+suffix)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("getting %s: %w", u.Redacted(), errNotFound)
	}
	return nil, fmt.Errorf("getting %s: %s", u.Redacted(), response.Status)
}

// digest returns the SHA-256 that the archive must have: that of the repository's .sha256 file, if
// PGTEST_REPOSITORY names a repository that has one, and else that of digests.
func (r *repository) digest(ctx context.Context, platform string) (string, error) {
	if r.pinned {
		return digests[platform], nil
	}
	response, err := r.get(ctx, platform, ".sha256")
	if errors.Is(err, errNotFound) {
		return digests[platform], nil
	}
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", fmt.Errorf("reading the checksum: %w", err)
	}
	digest, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ") // the file's name may follow
	return strings.ToLower(digest), nil
}
