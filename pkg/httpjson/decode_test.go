package httpjson_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"example.com/micromachine/pkg/httpjson"
)

type address struct {
	City string `json:"city"`
	Zip  uint16 `json:"zip"`
}

type person struct {
	Name   string            `json:"name"`
	Nick   *string           `json:"nick"`
	Active bool              `json:"active"`
	Height float64           `json:"height"`
	Home   address           `json:"home"`
	Others []address         `json:"others"`
	Counts map[string]int    `json:"counts"`
	Born   time.Time         `json:"born"`
	Any    any               `json:"any"`
	Note   nullable          `json:"note"`
	Labels map[string]string `json:"labels"`
}

// nullable is a type for which null has a meaning.
type nullable struct{ null bool }

func (n *nullable) UnmarshalJSON(b []byte) error {
	n.null = string(b) == "null"
	return nil
}

const limit = 200

func post(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// problem returns err as a [*httpjson.Problem]. All errors of Decode have this type.
func problem(t *testing.T, err error) *httpjson.Problem {
	t.Helper()
	var p *httpjson.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error %v (%T) is no *Problem", err, err)
	}
	return p
}

func TestDecode(t *testing.T) {
	t.Parallel()
	nick := "al"
	for _, test := range []struct {
		body string
		want person
	}{
		{`{}`, person{}},
		{" \r\n\t{ } \n", person{}},
		{`{"name":"Älice","nick":"al"}`, person{Name: "Älice", Nick: &nick}},
		{`{"home":{"city":"","zip":65535}}`, person{Home: address{Zip: 65535}}},
		{`{"others":[],"counts":{"a":-1}}`, person{Others: []address{}, Counts: map[string]int{"a": -1}}},
		{`{"note":null,"any":null}`, person{Note: nullable{null: true}}},
		{`{"name":"\u0041\ud83d\ude00"}`, person{Name: "A😀"}},
	} {
		got, err := httpjson.Decode[person](post(test.body), limit)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", test.body, got, err, test.want)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, detail string }{
		{``, "the body is empty"},
		{" \n", "the body is empty"},
		{`{`, "the body is cut short"},
		{`{"name":"a`, "the body is cut short"},
		{`{} {}`, "there is more after the JSON value"},
		{`{}]`, "there is more after the JSON value"},
		{`{}` + "\x00", "there is more after the JSON value"},
		{`{"name":"a",}`, "the body is not JSON at byte 12"},
		{`{'name':'a'}`, "the body is not JSON at byte 1"},
		{`{"height":01}`, "the body is not JSON at byte 11"},
		{`{"height":NaN}`, "the body is not JSON at byte 10"},
		{"\ufeff{}", "the body is not JSON at byte 0"},
		{"{\"name\":\"\xff\"}", "the body is not UTF-8"},
		{"{\"\xc3\x28\":1}", "the body is not UTF-8"},
		{`{"name":"\ud800"}`, "the body is not JSON at byte 9"},
		{`{"name":"a","name":"a"}`, "the member /name is given twice"},
		{`{"name":"a","n\u0061me":"b"}`, "the member /name is given twice"},
		{`{"others":[{"city":"a","city":"b"}]}`, "the member /others/0/city is given twice"},
		{`{"any":{"deep":{"x":1,"x":2}}}`, "the member /any/deep/x is given twice"},
		// The body has two mistakes. The syntax error is reported.
		{`{"name":1,"name":2}`, "the member /name is given twice"},
		{`{"unknown":1} x`, "there is more after the JSON value"},
	} {
		got, err := httpjson.Decode[person](post(test.body), limit)
		p := problem(t, err)
		if p.Status != http.StatusBadRequest || p.Type != "urn:micromachine:problem:malformed-json" ||
			p.Detail != test.detail {
			t.Errorf("%q: %+v, want 400 and %q", test.body, p, test.detail)
		}
		if !reflect.DeepEqual(got, person{}) {
			t.Errorf("%q: returned %+v beside the error", test.body, got)
		}
	}
}

func TestDecodeInvalidFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, field, detail string }{
		{`null`, "", "must not be null"},
		{`[]`, "", "must be an object"},
		{`"a"`, "", "must be an object"},
		{`{"unknown":1}`, "/unknown", "is not a known member"},
		{`{"Name":"a"}`, "/Name", "is not a known member"},
		{`{"a/b~c":1}`, "/a~1b~0c", "is not a known member"},
		{`{"others":[{},{"street":"a"}]}`, "/others/1/street", "is not a known member"},
		{`{"name":1}`, "/name", "must be a string"},
		{`{"name":null}`, "/name", "must not be null"},
		{`{"nick":null}`, "/nick", "must not be null"},
		{`{"nick":false}`, "/nick", "must be a string"},
		{`{"active":"true"}`, "/active", "must be true or false"},
		{`{"height":"1"}`, "/height", "must be a number"},
		{`{"height":1e999}`, "/height", "is out of range"},
		{`{"home":[]}`, "/home", "must be an object"},
		{`{"home":null}`, "/home", "must not be null"},
		{`{"home":{"zip":65536}}`, "/home/zip", "is out of range"},
		{`{"home":{"zip":1.5}}`, "/home/zip", "must be a whole number"},
		{`{"home":{"zip":"1"}}`, "/home/zip", "must be a whole number"},
		{`{"others":{}}`, "/others", "must be an array"},
		{`{"others":null}`, "/others", "must not be null"},
		{`{"others":[null]}`, "/others/0", "must not be null"},
		{`{"counts":{"a b":{}}}`, "/counts/a b", "must be a whole number"},
		{`{"labels":{"a":null}}`, "/labels/a", "must not be null"},
		{`{"born":7}`, "/born", "must be a string"},
		{`{"born":"yesterday"}`, "/born", "is not acceptable"},
	} {
		got, err := httpjson.Decode[person](post(test.body), limit)
		p := problem(t, err)
		want := []httpjson.FieldError{{Field: test.field, Detail: test.detail}}
		if p.Status != http.StatusUnprocessableEntity || p.Type != "urn:micromachine:problem:invalid-field" ||
			!reflect.DeepEqual(p.Errors, want) {
			t.Errorf("%s: %+v, want 422 and %+v", test.body, p, want)
		}
		if !reflect.DeepEqual(got, person{}) {
			t.Errorf("%s: returned %+v beside the error", test.body, got)
		}
	}
}

func TestDecodeMediaType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header http.Header
		ok     bool
	}{
		{http.Header{"Content-Type": {"application/json"}}, true},
		{http.Header{"Content-Type": {"Application/JSON; Charset=UTF-8"}}, true},
		{http.Header{"Content-Type": {`application/json;charset="utf-8"`}}, true},
		{http.Header{}, false},
		{http.Header{"Content-Type": {""}}, false},
		{http.Header{"Content-Type": {"text/plain"}}, false},
		{http.Header{"Content-Type": {"text/json"}}, false},
		{http.Header{"Content-Type": {"application/json-patch+json"}}, false},
		{http.Header{"Content-Type": {"application/json; charset=latin1"}}, false},
		{http.Header{"Content-Type": {"application/json; version=1"}}, false},
		{http.Header{"Content-Type": {"application/json, text/plain"}}, false},
		{http.Header{"Content-Type": {"application/json", "application/json"}}, false},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, false},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, false},
	} {
		r := post(`{}`)
		r.Header = test.header
		_, err := httpjson.Decode[person](r, limit)
		if test.ok {
			if err != nil {
				t.Errorf("%v: %v", test.header, err)
			}
			continue
		}
		p := problem(t, err)
		if p.Status != http.StatusUnsupportedMediaType || p.Type != "urn:micromachine:problem:unsupported-media-type" {
			t.Errorf("%v: %+v, want 415", test.header, p)
		}
	}
}

func TestDecodeSize(t *testing.T) {
	t.Parallel()
	body := func(size int) string { return `{"name":"` + strings.Repeat("x", size-len(`{"name":""}`)) + `"}` }
	if _, err := httpjson.Decode[person](post(body(limit)), limit); err != nil {
		t.Errorf("at the limit: %v", err)
	}

	unread := post(body(limit + 1))
	unread.Body = io.NopCloser(iotest.ErrReader(errors.New("read although its length says too much")))
	unannounced := post(body(limit + 1))
	unannounced.ContentLength = -1
	limited := post(body(limit))
	limited.Body = http.MaxBytesReader(httptest.NewRecorder(), limited.Body, limit/2)
	for name, r := range map[string]*http.Request{
		"with a length": unread, "without a length": unannounced, "limited before": limited,
	} {
		_, err := httpjson.Decode[person](r, limit)
		p := problem(t, err)
		if p.Status != http.StatusRequestEntityTooLarge || p.Type != "urn:micromachine:problem:body-too-large" {
			t.Errorf("%s: %+v, want 413", name, p)
		}
	}
}

func TestDecodeUnreadable(t *testing.T) {
	t.Parallel()
	r := post(`{}`)
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("some cause of our own")))
	_, err := httpjson.Decode[person](r, limit)
	if p := problem(t, err); p.Status != http.StatusBadRequest || strings.Contains(p.Detail, "cause") {
		t.Errorf("%+v, want 400 without the cause", p)
	}
}

func TestDecodeSlowBody(t *testing.T) {
	t.Parallel()
	api := httpjson.NewAdapter(quiet(), nil)
	server := httptest.NewUnstartedServer(api.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := httpjson.Decode[person](r, limit)
		return err
	}))
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d, want 408", res.StatusCode)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"a","name":"b"}`, `{"others":[{"zip":-1}]}`, "\xff", `null`, `[[[`, `{"any":1e9999}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		_, err := httpjson.Decode[person](post(body), limit)
		if err == nil {
			return
		}
		if p := problem(t, err); p.Status < 400 || p.Status > 499 {
			t.Errorf("%q: %+v is not the client's mistake", body, p)
		}
	})
}
