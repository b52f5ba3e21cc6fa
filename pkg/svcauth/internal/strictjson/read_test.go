package strictjson_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/svcauth/internal/strictjson"
)

// Read continues after each fault that JSON parsers handle differently.
func TestRead(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, tt := range []struct{ text, faults, names string }{
		{`{"a":1,"b":2}`, "", "a,b"},
		{`{"a":1,"a":{"b":0,"b":0},"a":2,"c":3}`, `duplicate name "a"; duplicate name "b"`, "a,a,a,c"},
		{"{\"a\":\"\xff\",\"b\":\"\xfe\"}", "invalid UTF-8", "a,b"},
		{`{"a":"\ud800","b":"\ud800\u0041"}`, "lone surrogate", "a,b"},
		{nested(200), "nested too deep", "a"},
		{`{"a":[` + strings.Repeat("0,", 300) + `0]}`, "too many values", "a"},
		{`{"a":{"\u00e9":0` + strings.Repeat(`,"b":0`, 300) + `}}`, `duplicate name "b"; too many values`, "a"},
	} {
		members, faults, err := strictjson.Read(tt.text)
		var names []string
		for _, m := range members {
			names = append(names, m.Name)
		}
		if err != nil || strings.Join(names, ",") != tt.names || list(faults) != tt.faults {
			t.Errorf("%.40s: %q, faults %q, error %v; want %q, %q", tt.text, names, list(faults), err, tt.names, tt.faults)
		}
	}
	for _, text := range []string{`[]`, `{"a":1`, `{"a":1}{}`, `{"a":1,}`, `{1:1}`, `{"a":"\u00"}`, nested(1001)} {
		if _, _, err := strictjson.Read(text); err == nil {
			t.Errorf("%.40s: no error", text)
		}
	}
}

// Read agrees with Object. It returns no fault for what Object accepts, and otherwise the error of
// Object first.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1,"a":2}`, `{"a":"\ud800","b":"\ud800\u0041"}`, "{\"a\":\"\xff\"}", `{"a":1}{}`, `{"a":1,"a":2,}`,
		`{"a":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, `{"a":[` + strings.Repeat("0,", 300) + `0]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		want, wantErr := strictjson.Object(data)
		members, faults, err := strictjson.Read(data)
		if wantErr == nil && (err != nil || len(faults) > 0 || !slices.Equal(members, want)) {
			t.Errorf("%q: %v, %v, %v; want %v", data, members, faults, err, want)
		}
		if first := slices.Concat(faults, []error{err})[0]; fmt.Sprint(first) != fmt.Sprint(wantErr) {
			t.Errorf("%q: the first fault is %v, Object's is %v", data, first, wantErr)
		}
	})
}

func list(faults []error) string {
	var texts []string
	for _, fault := range faults {
		texts = append(texts, fault.Error())
	}
	return strings.Join(texts, "; ")
}
