package scaffold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/token"
	"path"
	"regexp"
	"strings"

	"example.com/micromachine/pkg/service"
)

var (
	domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	modulePattern = regexp.MustCompile(`^[a-z0-9.-]+\.[a-z]+(/[A-Za-z0-9._~-]+)*/[a-z][a-z0-9-]{1,30}$`)
)

// Rename returns the plan that gives the module another path, and the services another domain. Empty
// strings keep what there is. The last element of the path becomes the name of the compose project
// and of the problem types.
func (r *Repository) Rename(ctx context.Context, module, domain string) (*Plan, error) {
	files, err := r.renamed(module, domain)
	if err != nil {
		return nil, err
	}
	return r.finish(ctx, files, "./...")
}

// renamed returns the files of the repository with another module path and domain.
func (r *Repository) renamed(module, domain string) (map[string][]byte, error) {
	switch {
	case module == "" && domain == "":
		return nil, errors.New("a rename needs MODULE, DOMAIN or both")
	case module != "" && !modulePattern.MatchString(module):
		return nil, fmt.Errorf("the module %q must be a path such as github.com/acme/platform, "+
			"whose last element has 2 to 31 lower-case letters, digits and dashes", module)
	case domain != "" && !domainPattern.MatchString(domain):
		return nil, fmt.Errorf("the domain %q must be a host name such as acme.internal", domain)
	}
	if module == "" {
		module = r.module
	}
	if domain == "" {
		domain = service.Domain
	}
	files := map[string][]byte{}
	for name, content := range r.files {
		edited, err := r.renameIn(name, content, module, domain)
		if err != nil {
			return nil, fmt.Errorf("editing %s: %w", name, err)
		}
		files[name] = edited
	}
	return files, nil
}

// renameIn returns a file with another module path and domain.
func (r *Repository) renameIn(name string, content []byte, module, domain string) ([]byte, error) {
	if !isText(content) {
		return content, nil
	}
	project := regexp.MustCompile(`(?m)(urn:|urn:\(|^name: |image: |PROJECT_NAME=)` + path.Base(r.module) + `\b`)
	hosts := regexp.MustCompile(`(^|[A-Za-z0-9*"` + "`" + `-])\.` + regexp.QuoteMeta(service.Domain) + `\b`)
	inText := func(text string) string {
		text = project.ReplaceAllString(strings.ReplaceAll(text, r.module, module), "${1}"+path.Base(module))
		return hosts.ReplaceAllString(text, "${1}."+domain)
	}
	if !strings.HasSuffix(name, ".go") {
		return []byte(inText(string(content))), nil
	}
	edited, err := editGo(content, func(tok token.Token, text string) string {
		if tok == token.IDENT {
			return text
		}
		return inText(text)
	})
	constant := func(domain string) []byte { return []byte(`const Domain = "` + domain + `"`) }
	return bytes.Replace(edited, constant(service.Domain), constant(domain), 1), err
}
