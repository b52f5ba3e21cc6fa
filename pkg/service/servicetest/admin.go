package servicetest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Readiness returns the answer of /readyz. The status is 0 while nothing listens.
func (s *System) Readiness(t *testing.T) (res *http.Response, body string) {
	t.Helper()
	return s.askAdmin(t, "readyz")
}

// Metrics returns the answer of /metrics.
func (s *System) Metrics(t *testing.T) string {
	t.Helper()
	res, body := s.askAdmin(t, "metrics")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("metrics: status %d, %s", res.StatusCode, body)
	}
	return body
}

func (s *System) askAdmin(t *testing.T, path string) (res *http.Response, body string) {
	t.Helper()
	res, err := http.DefaultClient.Get("http://" + s.AdminAddr + "/" + path)
	if err != nil {
		return &http.Response{}, err.Error()
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(content)
}

// AwaitReady waits until the service is ready.
func (s *System) AwaitReady(t *testing.T) {
	t.Helper()
	Await(t, "readiness", http.StatusOK, s.Readiness)
}

// awaitNotReady waits until readiness names a check that fails.
func (s *System) awaitNotReady(t *testing.T, check string) {
	t.Helper()
	Await(t, "readiness, without "+check, http.StatusServiceUnavailable, func(t *testing.T) (*http.Response, string) {
		t.Helper()
		res, body := s.Readiness(t)
		if !strings.Contains(body, check) {
			res.StatusCode = 0
		} else if res.Header.Get("Retry-After") == "" {
			t.Error("not ready, without Retry-After")
		}
		return res, body
	})
}

// Await repeats a request until its answer has a status, for at most 30 s.
func Await(t *testing.T, what string, status int, do func(*testing.T) (*http.Response, string)) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	// Polling slows down, because a question can cost the service a new database connection.
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		res, body := do(t)
		if res.StatusCode == status {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: still %d: %s", what, res.StatusCode, body)
			return
		}
		time.Sleep(pause)
	}
}

// WantUnavailable fails the test unless an answer says that the request can be sent again.
func WantUnavailable(t *testing.T, what string, res *http.Response, body string) {
	t.Helper()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" ||
		!strings.Contains(body, ":problem:") || !strings.Contains(body, "unavailable") || strings.Contains(body, "made up") {
		t.Errorf("%s: %d, Retry-After %q: %s", what, res.StatusCode, res.Header.Get("Retry-After"), body)
	}
}
