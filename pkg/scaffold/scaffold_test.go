package scaffold_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/pkg/scaffold"
	"example.com/micromachine/pkg/service"
)

const root = "../.."

func open(t *testing.T, dir string) *scaffold.Repository {
	t.Helper()
	r, err := scaffold.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write writes files to a new directory and opens it as a repository.
func write(t *testing.T, files map[string][]byte) (dir string, r *scaffold.Repository) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, open(t, dir)
}

// Each name that cannot be used is refused in one line that says why.
func TestNames(t *testing.T) {
	t.Parallel()
	r := open(t, root)
	for name, want := range map[string]string{
		"":                      "2 to 31 lower-case letters",
		"l":                     "2 to 31 lower-case letters",
		"Ledger":                "2 to 31 lower-case letters",
		"1ledger":               "2 to 31 lower-case letters",
		"led-ger":               "2 to 31 lower-case letters",
		"led_ger":               "2 to 31 lower-case letters",
		"led ger":               "2 to 31 lower-case letters",
		"led/ger":               "2 to 31 lower-case letters",
		"../zebra":              "2 to 31 lower-case letters",
		"zebra\n":               "2 to 31 lower-case letters",
		"lédger":                "2 to 31 lower-case letters",
		strings.Repeat("a", 32): "2 to 31 lower-case letters",
		"func":                  "meaning in Go",
		"string":                "meaning in Go",
		"internal":              "meaning in Go",
		"main":                  "meaning in Go",
		"user":                  "reserved in PostgreSQL",
		"order":                 "reserved in PostgreSQL",
		"template1":             "reserved in PostgreSQL",
		"census":                "census exists already",
		"migrations":            "migrations exists already",
		"pkg":                   "pkg exists already",
		"service":               "package pkg/service",
		"svcauth":               "package pkg/svcauth",
		"mail":                  "that of another service",
		"postgres":              "reserved in PostgreSQL",
		"setup":                 "that of another service",
		"shop":                  "that of another service",
		"entry":                 "code of the template",
		"store":                 "code of the template",
		"http":                  "code of the template",
		"sort":                  "standard library",
		"template":              "reserved in PostgreSQL",
		"zip":                   "standard library",
	} {
		if _, ok := r.Files()["e2e/stack/trust/census.yaml"]; !ok && want == "that of another service" {
			continue // a team has removed the files with these names
		}
		err := scaffold.CheckName(r, t.Context(), name)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	for _, name := range []string{"zebra", "yak2"} {
		if err := scaffold.CheckName(r, t.Context(), name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A service that is added and removed leaves no trace, also beside others and in another order.
func TestRemoveUndoesNew(t *testing.T) {
	t.Parallel()
	before := open(t, root).Files()
	_, r := write(t, before)
	_, r = write(t, must(t)(scaffold.WithService(r, "yak")))
	withYak := r.Files()
	_, r = write(t, must(t)(scaffold.WithService(r, "zebra")))
	_, onlyZebra := write(t, must(t)(scaffold.WithoutService(r, "yak")))
	wantEqual(t, must(t)(scaffold.WithoutService(r, "zebra")), withYak)
	wantEqual(t, must(t)(scaffold.WithoutService(onlyZebra, "zebra")), before)
}

func must(t *testing.T) func(map[string][]byte, error) map[string][]byte {
	t.Helper()
	return func(files map[string][]byte, err error) map[string][]byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
}

func wantEqual(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// Nothing of the template's name is left in a new service, and every shared file lists the service.
func TestNewService(t *testing.T) {
	t.Parallel()
	r := open(t, root)
	before := r.Files()
	after := must(t)(scaffold.WithService(r, "zebra"))
	template := regexp.MustCompile(`(?i)journal|scaffold`)
	created, changed := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		old, existed := before[name]
		switch {
		case !existed:
			created++
			if found := template.Find(after[name]); found != nil {
				t.Errorf("%s has the word %q", name, found)
			}
		case !bytes.Equal(old, after[name]):
			changed = append(changed, name)
		}
	}
	want := []string{
		".golangci.yml", "README.md", "docker-compose.yml", "e2e/stack/services.go", "e2e/stack/trust/census.yaml",
	}
	// A team may have removed some of them.
	want = slices.DeleteFunc(want, func(name string) bool { _, ok := before[name]; return !ok })
	if !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if created < 15 {
		t.Errorf("created %d files", created)
	}
	lines := 0
	for name, content := range after {
		if strings.HasPrefix(name, "zebra/") && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			lines += bytes.Count(content, []byte("\n"))
		}
	}
	if lines > 250 {
		t.Errorf("the service has %d lines of Go", lines)
	}
}

// A service can also be added to a repository that has only the packages and Census.
func TestOnlyCensus(t *testing.T) {
	t.Parallel()
	kept := maps.Clone(open(t, root).Files())
	maps.DeleteFunc(kept, func(name string, _ []byte) bool {
		folder, _, _ := strings.Cut(name, "/")
		return !slices.Contains([]string{"go.mod", "go.sum", "Makefile", "pkg", "census"}, folder) &&
			!strings.HasPrefix(name, "migrations/census/")
	})
	r := reopen(t, kept)
	after := must(t)(scaffold.WithService(r, "zebra"))
	for _, name := range []string{"zebra/cmd/zebra/main.go", "zebra/openapi.yaml", "migrations/zebra/zebra.go"} {
		if after[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	if notes := scaffold.PlanOf(r, after).Notes; !slices.Contains(notes, "docker-compose.yml is not there, so nothing was added to it") {
		t.Errorf("notes %q", notes)
	}
	wantEqual(t, must(t)(scaffold.WithoutService(reopen(t, after), "zebra")), kept)
}

// reopen writes files to a new directory and opens it.
func reopen(t *testing.T, files map[string][]byte) *scaffold.Repository {
	t.Helper()
	_, r := write(t, files)
	return r
}

// The template's name is only spelt in the three ways that are renamed.
func TestSpellings(t *testing.T) {
	t.Parallel()
	spelling := regexp.MustCompile(`(?i)journal`)
	for name, content := range open(t, root).Files() {
		if !strings.HasPrefix(name, "pkg/scaffold/journal/") {
			continue
		}
		for _, found := range spelling.FindAllString(string(content), -1) {
			if found != "journal" && found != "Journal" && found != "JOURNAL" {
				t.Errorf("%s has %q", name, found)
			}
		}
	}
}

// Services that other code uses are not removed.
func TestRemoveRefuses(t *testing.T) {
	t.Parallel()
	r := open(t, root)
	for name, want := range map[string]string{
		"zebra": "there is no service", "../census": "there is no service", "census": "uses census",
	} {
		if _, err := scaffold.WithoutService(r, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The names in this test are none of the repository's, so that a rename of the repository keeps it.
func TestRename(t *testing.T) {
	t.Parallel()
	domain := "." + service.Domain
	files := func(module, project, domain string) map[string][]byte {
		return map[string][]byte{
			"go.mod":             []byte("module " + module + "\n"),
			"docker-compose.yml": []byte("name: " + project + "\n  image: " + project + "-a\n  aliases: [a" + domain + "]\n"),
			"a.go": []byte("// Package a calls a" + domain + ".\npackage a\n\nimport (\n\t\"os\"\n\n\t\"" + module + "/pkg/b\"\n)\n\n" +
				"var x = w.service + \"https://a" + domain + "/\" + b.C + os.Args[0] + \"*" + domain + "\" + `\"a" + domain + "\"`\n"),
			"binary": {0, 1, 2},
		}
	}
	_, r := write(t, files("old.example/team/old", "old", domain))
	got := must(t)(scaffold.Renamed(r, "new.example/team/new", "new.example"))
	wantEqual(t, got, files("new.example/team/new", "new", ".new.example"))
}

func TestRenameRefuses(t *testing.T) {
	t.Parallel()
	r := open(t, root)
	for _, row := range []struct{ module, domain, want string }{
		{"", "", "needs MODULE, DOMAIN or both"},
		{"platform", "", "must be a path such as"},
		{"github.com/acme/Platform", "", "must be a path such as"},
		{"github.com/acme/plat form", "", "must be a path such as"},
		{"https://github.com/acme/platform", "", "must be a path such as"},
		{"", "Acme.internal", "must be a host name such as"},
		{"", ".internal", "must be a host name such as"},
		{"", "acme.internal/", "must be a host name such as"},
		{"", "10", "must be a host name such as"},
	} {
		if _, err := scaffold.Renamed(r, row.module, row.domain); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q, %q: %v", row.module, row.domain, err)
		}
	}
}

// A plan that cannot be carried out leaves the files as they were.
func TestApplyFails(t *testing.T) {
	t.Parallel()
	before := map[string][]byte{
		"go.mod": []byte("module a\n"), "a": []byte("1"), "b/c": []byte("2"), "d": []byte("3"), "z": []byte("a file\n"),
	}
	dir, r := write(t, before)
	plan := scaffold.PlanOf(r, map[string][]byte{
		"go.mod": []byte("module b\n"), "a": []byte("changed"), "new/file": []byte("new"), "z": []byte("a file\n"),
		"z/is/no/folder": []byte("x"),
	})
	if err := plan.Apply(); err == nil {
		t.Fatal("it was carried out")
	}
	wantEqual(t, open(t, dir).Files(), before)
}
