package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// What the strict reader accepts, encoding/json accepts too and reads alike: the same names, each once, and the same
// values.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, ` {"a" : [1, -0.5e+3, {"b":null}], "c":"\u00e9\ud83d\ude00"} `, `{"a":1,"a":2}`, `{"a":"\ud800"}`,
		`{"iat":1800000000}`, `{"iat":01}`, `{"iat":-0}`, `{"iat":9007199254740992}`, "{\"a\":\"\xff\"}", `{"a":1}{}`, `[1]`,
		`{"a":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, "{\"\x00\":1}", `{"a":tru}`, `{"a":1,}`, `{"a":1e}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := strictjson.Object(string(data))
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q is accepted and is not JSON", data)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q is accepted: %v", data, err)
		}
		if len(members) != len(want) {
			t.Fatalf("%q has %d names, encoding/json reads %d", data, len(members), len(want))
		}
		for _, m := range members {
			raw, ok := want[m.Name]
			if !ok || string(raw) != m.Raw {
				t.Errorf("%q: %q is %s, encoding/json reads %s", data, m.Name, m.Raw, raw)
			}
			compareValue(t, m)
		}
	})
}

// compareValue reads a member's value as a text and as seconds, and as encoding/json does.
func compareValue(t *testing.T, m strictjson.Member) {
	t.Helper()
	if got, err := m.Text(); err == nil {
		var want string
		if err := json.Unmarshal([]byte(m.Raw), &want); err != nil || got != want {
			t.Errorf("%s reads %q, encoding/json %q, %v", m.Raw, got, want, err)
		}
	}
	if got, err := m.Seconds(); err == nil {
		var want float64 // as golang-jwt and JavaScript read numbers
		if err := json.Unmarshal([]byte(m.Raw), &want); err != nil || float64(got) != want || int64(want) != got {
			t.Errorf("%s reads %d, encoding/json %v, %v", m.Raw, got, want, err)
		}
	}
}
