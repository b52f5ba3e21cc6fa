package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const key = "Idempotency-Key"

func TestSameKeySameAnswer(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	first := a.post(t, a.shop, reader, welcome, key, "k 1")
	wantStatus(t, first, http.StatusCreated)
	if _, err := a.pool.Exec(t.Context(), `update notifications set status = 'sent', updated_at = now()`); err != nil {
		t.Fatal(err)
	}
	a.answers(http.StatusForbidden, "") // a repeated request does not ask Census again
	respelt := strings.Replace(welcome, ",", " , ", 1)
	for _, body := range []string{welcome, respelt} {
		again := a.post(t, a.shop, reader, body, key, "k 1")
		if again.Code != first.Code || again.Body.String() != first.Body.String() ||
			again.Header().Get("Location") != first.Header().Get("Location") {
			t.Errorf("first %d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
		}
	}
	a.wantStored(t, 1, 1)
	a.answers(http.StatusOK, user42)
	wantStatus(t, a.post(t, a.shop, reader, welcome, key, "k 2"), http.StatusCreated)
	wantStatus(t, a.post(t, a.shop, reader, welcome), http.StatusCreated)
	a.wantStored(t, 3, 2)
}

func TestSameKeyOtherBody(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	wantStatus(t, a.post(t, a.shop, reader, welcome, key, "k"), http.StatusCreated)
	other := strings.Replace(welcome, "42", "43", 1)
	wantProblem(t, a.post(t, a.shop, reader, other, key, "k"), http.StatusUnprocessableEntity, "idempotency-key-reused",
		"")
	a.wantStored(t, 1, 1)
}

// TestKeysAreEachCallersOwn checks that a key belongs to a service and a creator together: two
// services that use the same keys do not affect each other.
func TestKeysAreEachCallersOwn(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	first := decode[notification](t, a.post(t, a.shop, reader, welcome, key, "k"))
	second := decode[notification](t, a.post(t, a.shop, otherUser, welcome, key, "k"))
	third := decode[notification](t, a.post(t, a.another, reader, welcome, key, "k"))
	if first.URI == second.URI || first.URI == third.URI {
		t.Errorf("%s for one user, %s for another, %s for the first by another service", first.URI, second.URI, third.URI)
	}
	a.wantStored(t, 3, 3)
}

// TestRefusedRequestsKeepNoKey checks that a refused request does not use up its key.
func TestRefusedRequestsKeepNoKey(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound} {
		a.answers(status, "")
		if got := a.post(t, a.shop, reader, welcome, key, "k").Code; got < 400 {
			t.Errorf("status %d", got)
		}
	}
	wantStatus(t, a.post(t, a.shop, reader, "{}", key, "k"), http.StatusUnprocessableEntity)
	a.wantStored(t, 0, 0)
	a.answers(http.StatusOK, user42)
	wantStatus(t, a.post(t, a.shop, reader, strings.Replace(welcome, "42", "43", 1), key, "k"), http.StatusCreated)
	a.wantStored(t, 1, 1)
}

// TestKeyInFlight sends a second request while the first one waits for Census.
func TestKeyInFlight(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	reached, open := make(chan struct{}), make(chan struct{})
	a.answersBy(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-open
		_, _ = w.Write([]byte(user42))
	})
	var first *httptest.ResponseRecorder
	var wait sync.WaitGroup
	wait.Go(func() { first = a.post(t, a.shop, reader, welcome, key, "k") })
	<-reached
	wantProblem(t, a.post(t, a.shop, reader, welcome, key, "k"), http.StatusConflict, "idempotency-key-in-use", "")
	close(open)
	wait.Wait()
	wantStatus(t, first, http.StatusCreated)
	again := a.post(t, a.shop, reader, welcome, key, "k")
	if again.Body.String() != first.Body.String() {
		t.Errorf("first %s, then %s", first.Body, again.Body)
	}
	a.wantStored(t, 1, 1)
}

func TestKeysAtOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	answers := make([]*httptest.ResponseRecorder, 24)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() { answers[i] = a.post(t, a.shop, reader, welcome, key, fmt.Sprint("k", i%3)) })
	}
	wait.Wait()
	uris := map[string]bool{}
	for _, answer := range answers {
		switch answer.Code {
		case http.StatusCreated:
			uris[answer.Header().Get("Location")] = true
		case http.StatusConflict:
		default:
			t.Errorf("status %d: %s", answer.Code, answer.Body)
		}
	}
	if len(uris) != 3 {
		t.Errorf("%d notifications for 3 keys", len(uris))
	}
	a.wantStored(t, 3, 3)
}

func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, headers := range map[string][]string{
		"empty":        {key, ""},
		"too long":     {key, strings.Repeat("k", 256)},
		"not ASCII":    {key, "schlüssel"},
		"control":      {key, "k\x7f"},
		"NUL":          {key, "k\x00"},
		"tab":          {key, "k\tk"},
		"two":          {key, "a", key, "b"},
		"two the same": {key, "a", key, "a"},
	} {
		answer := a.post(t, a.shop, reader, welcome, headers...)
		if err := checkProblem(answer, http.StatusBadRequest, "invalid-idempotency-key", ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.wantStored(t, 0, 0)
	wantStatus(t, a.post(t, a.shop, reader, welcome, key, strings.Repeat("k", 255)), http.StatusCreated)
}
