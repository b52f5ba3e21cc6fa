package scaffold

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The trust file of Census, and the entry of a new service in it, a file of the template.
const (
	censusTrust     = trustFolder + "census.yaml"
	censusTrustFile = "census-trust.yaml"
)

// edit changes a file. It notes a file that is not there or has no place for the change.
func (r *Repository) edit(files map[string][]byte, file string, change func(text string) (string, bool)) {
	content, ok := files[file]
	if !ok {
		r.noteOnce("%s is not there, so nothing was added to it", file)
		return
	}
	text, ok := change(string(content))
	if !ok {
		r.noteOnce("%s has nothing about %s that could be copied, so nothing was added to it", file, model)
		return
	}
	files[file] = []byte(text)
}

func (r *Repository) noteOnce(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(r.notes, line) {
		r.notes = append(r.notes, line)
	}
}

// trustEntry returns the entry of a service in the trust file of Census: the part of the template's
// file after the line "issuers:".
func (r *Repository) trustEntry(name string) string {
	_, entry, _ := strings.Cut(string(r.files[templateFolder+censusTrustFile]), "\nissuers:\n")
	return "\n" + renameWord(entry, templateName, name)
}

func (r *Repository) addTrust(text, name string) (string, bool) {
	return text + r.trustEntry(name), true
}

// addLink adds a service to the links of the services in the README.
func addLink(text, name string) (string, bool) {
	links := regexp.MustCompile(`\[` + model + `\]\(` + model + `/README\.md\)(, \[[a-z0-9]+\]\([a-z0-9]+/README\.md\))*`)
	return links.ReplaceAllString(text, "${0}"+link(name)), links.MatchString(text)
}

func link(name string) string { return fmt.Sprintf(", [%s](%s/README.md)", name, name) }

// finish checks in a temporary directory that the packages compile, and draws the map of trust in
// the README again. Then it returns the plan.
func (r *Repository) finish(ctx context.Context, files map[string][]byte, packages ...string) (*Plan, error) {
	dir, err := os.MkdirTemp("", "scaffold-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, content := range files {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), content); err != nil {
			return nil, err
		}
	}
	if len(packages) > 0 {
		if err := run(ctx, dir, "go", append([]string{"vet"}, packages...)...); err != nil {
			return nil, fmt.Errorf("the result does not compile, and nothing was written: %w", err)
		}
	}
	if _, ok := files["e2e/readme/trustmap_test.go"]; ok {
		if err := run(ctx, dir, "go", "test", "-count=1", "-run=^TestTrustMap$", "./e2e/readme", "-update"); err != nil {
			return nil, err
		}
		if files["README.md"], err = os.ReadFile(filepath.Join(dir, "README.md")); err != nil {
			return nil, err
		}
	}
	return r.plan(files), nil
}
