package server_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth"
)

// TestSubjectsThatCannotBeStored checks the limit on the length of a subject.
func TestSubjectsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	under := func(segment string) svcauth.Subject { return svcauth.Subject(censusURL + "user/" + segment + "/") }
	fitting := strings.Repeat("a", 1024-len(under("")))
	a.answers(http.StatusOK, user42)
	for _, row := range []struct {
		name    string
		subject svcauth.Subject
		status  int
	}{
		{"5,029 characters", under(random(5029 - len(under("")))), http.StatusBadRequest},
		{"a byte too long", under(fitting + "a"), http.StatusBadRequest},
		{"as long as can be", under(fitting), http.StatusCreated},
	} {
		for _, headers := range [][]string{nil, {key, strings.Repeat("k", 255)}} {
			answer := a.post(t, a.shop, row.subject, welcome, headers...)
			if row.status != http.StatusBadRequest {
				wantStatus(t, answer, row.status)
				continue
			}
			wantProblem(t, answer, row.status, "invalid-subject", "")
			answer = a.get(t, a.shop, row.subject, "/notification/019aa2b1-5c3e-7d10-9f0a-3b6d1c2e4f50/")
			wantProblem(t, answer, http.StatusNotFound, "notification-not-found", "")
		}
	}
	a.wantStored(t, 2, 1)
}

// random returns incompressible text, as an index could compress other text.
func random(length int) string {
	var text strings.Builder
	for text.Len() < length {
		text.WriteString(rand.Text())
	}
	return text.String()[:length]
}
