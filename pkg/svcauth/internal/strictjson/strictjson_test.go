package strictjson_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// encoding/json accepts what Object accepts, and reads the same names, each once, and the same
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

// The bounds apply to the whole text. A name may occur again in another object.
func TestObject(t *testing.T) {
	t.Parallel()
	names := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"%d":0`, i))
		}
		return `{` + strings.Join(all, ",") + `}`
	}
	list := func(n int, value string) string { return `[` + strings.Repeat(value+",", n-1) + value + `]` }
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"64 names", names(64), true},
		{"65 names", names(65), false},
		{"64 names in a nested object", `{"a":` + names(64) + `}`, true},
		{"65 names in a nested object", `{"a":` + names(65) + `}`, false},
		{"256 values", `{"a":` + list(255, "0") + `}`, true},
		{"257 values", `{"a":` + list(256, "0") + `}`, false},
		{"256 strings", `{"a":"","b":` + list(254, `""`) + `}`, true},
		{"257 strings", `{"a":"","b":` + list(255, `""`) + `}`, false},
		{"256 values in nested objects", `{"a":` + list(127, `{"a":0}`) + `,"b":0}`, true},
		{"257 values in nested objects", `{"a":` + list(127, `{"a":0}`) + `,"b":0,"c":0}`, false},
		{"257 values in deeply nested objects", `{"a":` + list(52, `{"a":{"a":{"a":[[]]}}}`) + `}`, false},
		{"a name of an enclosing object", `{"a":{"a":{"a":0}},"b":{"a":0}}`, true},
		{"a name after a nested object", `{"b":{"a":0},"a":0}`, true},
		{"a name twice, an object in between", `{"a":0,"b":{"c":0},"a":0}`, false},
		{"a name twice in a nested object", `{"a":{"b":0,"b":0}}`, false},
		{"a name twice in a nested object, an object in between", `{"a":{"b":0,"c":{"d":0},"b":0}}`, false},
		{"a name twice in a nested object, once escaped", `{"a":[{"b":0,"\u0062":0}]}`, false},
		{"an empty name twice", `{"":0,"":0}`, false},
	} {
		if _, err := strictjson.Object(tt.text); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Each string is decoded, whatever escapes other strings have.
func TestText(t *testing.T) {
	t.Parallel()
	members, err := strictjson.Object(`{"\n":"\t","a":"b","\u00e9":{"\r":"\f"},"c":"\\\"\/\b\f\n\r\t\ud83d\ude00é","d":["\n"],"e":"f"}`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range members {
		text, _ := m.Text()
		got = append(got, m.Name, text)
	}
	want := []string{"\n", "\t", "a", "b", "é", "", "c", "\\\"/\b\f\n\r\t😀é", "d", "", "e", "f"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// compareValue checks that encoding/json reads a member's value in the same way, as text and as
// seconds.
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
