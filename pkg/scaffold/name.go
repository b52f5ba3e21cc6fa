package scaffold

import (
	"bytes"
	"context"
	"fmt"
	"go/token"
	"go/types"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)

// reservedSQL are the reserved key words of PostgreSQL 17 (its manual, appendix C) that are spelt
// like a name. A role or a database can only have such a name in quotation marks.
var reservedSQL = strings.Fields(`
	all analyse analyze and any array as asc asymmetric authorization binary both case cast check
	collate collation column concurrently constraint create cross default deferrable desc distinct do
	else end except false fetch for foreign freeze from full grant group having ilike in initially
	inner intersect into is isnull join lateral leading left like limit localtime localtimestamp
	natural not notnull null offset on only or order outer overlaps placing primary public references
	returning right select similar some symmetric table tablesample then to trailing true union unique
	user using variadic verbose when where window with none postgres`)

// checkName returns an error unless name can be the name of a new service: of its Go package, host,
// PostgreSQL role and folder.
func (r *Repository) checkName(ctx context.Context, name string) error {
	switch {
	case !namePattern.MatchString(name):
		return fmt.Errorf("the name %q must have 2 to 31 lower-case letters and digits, and begin with a letter", name)
	case token.IsKeyword(name) || types.Universe.Lookup(name) != nil || slices.Contains([]string{"main", "internal", "vendor", "testdata"}, name):
		return fmt.Errorf("the name %q has a meaning in Go", name)
	case slices.Contains(reservedSQL, name) || strings.HasPrefix(name, "template"):
		return fmt.Errorf("the name %q is reserved in PostgreSQL", name)
	case r.has(name) || r.has("migrations/"+name):
		return fmt.Errorf("%s exists already: see the folder %s", name, name)
	case r.has("pkg/" + name):
		return fmt.Errorf("the name %q is that of the package pkg/%s", name, name)
	case r.hosts()[name]:
		return fmt.Errorf("the name %q is that of another service, see docker-compose.yml and the trust files", name)
	case slices.Contains(r.templateNames(), name):
		return fmt.Errorf("the name %q is used in the code of the template: choose another", name)
	}
	std, err := exec.CommandContext(ctx, "go", "list", "std").Output()
	if err != nil {
		return fmt.Errorf("listing the standard library: %w", err)
	}
	for pkg := range strings.FieldsSeq(string(std)) {
		if path.Base(pkg) == name {
			return fmt.Errorf("the name %q is that of the package %s of the standard library", name, pkg)
		}
	}
	return nil
}

// hosts returns the names of the services of the compose file and of the issuers in trust files.
func (r *Repository) hosts() map[string]bool {
	names := map[string]bool{}
	services := regexp.MustCompile(`(?m)^ {2}([a-z0-9-]+):$`)
	for _, match := range services.FindAllSubmatch(r.files[compose], -1) {
		names[string(match[1])] = true
	}
	issuer := regexp.MustCompile(`https://([a-z0-9-]+)` + regexp.QuoteMeta(host("")))
	for file, content := range r.files {
		if strings.HasPrefix(file, trustFolder) {
			for _, match := range issuer.FindAllSubmatch(content, -1) {
				names[string(match[1])] = true
			}
		}
	}
	return names
}

// templateNames returns the words of the template's Go code, in which the service's name must not
// occur.
func (r *Repository) templateNames() (names []string) {
	word := regexp.MustCompile(`\b[a-z][a-z0-9]+\b`)
	for file, content := range r.files {
		if strings.HasPrefix(file, templateFolder) && strings.HasSuffix(file, ".go") {
			for line := range bytes.Lines(content) {
				code, _, _ := bytes.Cut(line, []byte("//"))
				for _, w := range word.FindAllString(string(code), -1) {
					if w != templateName {
						names = append(names, w)
					}
				}
			}
		}
	}
	return names
}
