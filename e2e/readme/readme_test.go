// Package readme tests what the README files say about the whole repository. What they say about
// one package is tested there.
package readme_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

// read returns the content of a file of the repository.
func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// files returns the files of the repository with that suffix, relative to its root.
func files(t *testing.T, suffix string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+string(filepath.Separator))
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(name, ".") && name != root && name != ".ci":
			return fs.SkipDir
		case strings.HasSuffix(name, suffix):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// services returns the folders of the services: those with an openapi.yaml.
func services(t *testing.T) (names []string) {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(root, "*", "openapi.yaml"))
	if err != nil || len(matches) == 0 {
		t.Fatalf("looking for openapi.yaml: %d found, %v", len(matches), err)
	}
	for _, match := range matches {
		names = append(names, filepath.Base(filepath.Dir(match)))
	}
	return names
}

// The map of trust is not counted, because it grows with each service.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	text := regexp.MustCompile("(?s)```mermaid.*?```").ReplaceAllString(read(t, "README.md"), "")
	if lines := strings.Count(text, "\n"); lines > 140 {
		t.Errorf("README.md has %d lines without the map: at most 140", lines)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 -]")
)

// Each link to a file, a folder or a heading of the repository has a target.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, ".md") {
		for _, match := range link.FindAllStringSubmatch(read(t, file), -1) {
			target := file
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(file), match[1])
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if anchor := match[2]; anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s: no heading for %s in %s", file, anchor, target)
			}
		}
	}
}

// Each file that a README names with its folder exists, but for the files of the new service Ledger.
func TestNamedFiles(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, ".md") {
		for _, match := range regexp.MustCompile("`([a-z][a-z0-9_]*/[a-z0-9_/]+\\.go)`").FindAllStringSubmatch(read(t, file), -1) {
			if _, err := os.Stat(filepath.Join(root, match[1])); err != nil && !strings.HasPrefix(match[1], "ledger/") {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// anchors returns the anchors of the headings of a Markdown text, as GitHub makes them.
func anchors(markdown string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(markdown, -1) {
		name := dropped.ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, "#"+strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// pkg/README.md has a row for each direct dependency.
func TestDependencies(t *testing.T) {
	t.Parallel()
	readme := read(t, "pkg/README.md")
	requirement := regexp.MustCompile(`(?m)^(?:require )?\t?(\S+\.\S+/\S+) v\S+$`)
	modules := requirement.FindAllStringSubmatch(read(t, "go.mod"), -1)
	if len(modules) < 10 {
		t.Fatalf("go.mod has %d direct dependencies", len(modules))
	}
	for _, module := range modules {
		if name := strings.TrimPrefix(module[1], "github.com/"); !strings.Contains(readme, "`"+name+"`") {
			t.Errorf("no row for %s", name)
		}
	}
}

// pkg/README.md has a row for each package.
func TestPackages(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(filepath.Join(root, "pkg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		row := regexp.MustCompile(`(?m)^\| \[?` + entry.Name() + `(\]\([^)]*\))? \|`)
		if entry.IsDir() && !row.MatchString(read(t, "pkg/README.md")) {
			t.Errorf("no row for pkg/%s", entry.Name())
		}
	}
}

// A service's README has a row for each route of its API, and no other.
func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, service := range services(t) {
		var api struct {
			Paths map[string]map[string]any `yaml:"paths"`
		}
		if err := yaml.Unmarshal([]byte(read(t, service+"/openapi.yaml")), &api); err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for path, item := range api.Paths {
			delete(item, "parameters")
			for method := range item {
				want = append(want, strings.ToUpper(method)+" "+path)
			}
		}
		for _, match := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|").FindAllStringSubmatch(read(t, service+"/README.md"), -1) {
			got = append(got, match[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s/README.md has the routes\n%s\nwant\n%s", service, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// Each line of the log and each message that herald/README.md explains is in the code.
func TestMessages(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, file := range files(t, ".go") {
		if !strings.HasSuffix(file, "_test.go") && !strings.HasPrefix(file, "e2e/") {
			code.WriteString(read(t, file))
		}
	}
	_, text, _ := strings.Cut(read(t, "herald/README.md"), "\n## Why was a mail not sent?\n")
	text, _, _ = strings.Cut(text, "\n## ")
	messages := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1)
	if len(messages) < 10 {
		t.Fatalf("%d messages are explained", len(messages))
	}
	for _, message := range messages {
		if !strings.Contains(code.String(), `"`+message[1]) {
			t.Errorf("%q is not in the code", message[1])
		}
	}
}
