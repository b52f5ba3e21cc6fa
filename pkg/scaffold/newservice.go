package scaffold

import (
	"context"
	"fmt"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The template: its name, and where it is.
const (
	templateName   = "journal"
	templateFolder = "pkg/scaffold/journal/"
)

// trustFolder has the trust files of the services, for the demo and for compose.
const trustFolder = "e2e/stack/trust/"

// NewService returns the plan that adds a service to the repository. The errors for a name that
// cannot be used are one line.
func (r *Repository) NewService(ctx context.Context, name string) (*Plan, error) {
	if err := r.checkName(ctx, name); err != nil {
		return nil, err
	}
	files, err := r.withService(name)
	if err != nil {
		return nil, err
	}
	return r.finish(ctx, files, "./"+name+"/...", "./migrations/"+name)
}

// withService returns the files of the repository with a new service.
func (r *Repository) withService(name string) (map[string][]byte, error) {
	files := maps.Clone(r.files)
	port := r.nextAdminPort()
	for _, file := range slices.Sorted(maps.Keys(r.files)) {
		to, ok := target(file, name)
		if !ok {
			continue
		}
		content, err := r.copyTemplate(file, name, port)
		if err != nil {
			return nil, fmt.Errorf("copying %s: %w", file, err)
		}
		files[to] = content
	}
	if !r.has(strings.TrimSuffix(trustFolder, "/")) {
		delete(files, trustFolder+name+".yaml")
	}
	for _, l := range listings {
		r.edit(files, l.file, func(text string) (string, bool) { return l.add(text, name, r.module) })
	}
	r.edit(files, censusTrust, func(text string) (string, bool) { return r.addTrust(text, name) })
	r.edit(files, "README.md", func(text string) (string, bool) { return addLink(text, name) })
	return files, nil
}

// target returns where a file of the template belongs in a service. ok is false for other files,
// and for the entry of a trust file, which is not a file of its own.
func target(file, name string) (to string, ok bool) {
	rest, ok := strings.CutPrefix(file, templateFolder)
	if !ok || rest == censusTrustFile {
		return "", false
	}
	rest = strings.ReplaceAll(rest, templateName, name)
	switch {
	case strings.HasPrefix(rest, "migrations/"):
		return rest, true
	case rest == "trust.yaml":
		return trustFolder + name + ".yaml", true
	}
	return name + "/" + rest, true
}

// copyTemplate returns a file of the template for a service that has the given port for
// ADMIN_LISTEN.
func (r *Repository) copyTemplate(file, name, port string) ([]byte, error) {
	text := string(r.files[file])
	own := adminPort.FindStringSubmatch(string(r.files[templateFolder+"cmd/"+templateName+"/main.go"]))
	text = strings.ReplaceAll(text, "127.0.0.1:"+own[1], "127.0.0.1:"+port)
	paths := strings.NewReplacer(
		templateFolder+"migrations", "migrations",
		strings.TrimSuffix(templateFolder, "/"), name)
	words := func(s string) string { return renameWord(paths.Replace(s), templateName, name) }
	if strings.HasSuffix(file, ".go") {
		return editGo([]byte(text), func(_ token.Token, text string) string { return words(text) })
	}
	return []byte(words(text)), nil
}

// nextAdminPort returns a port for ADMIN_LISTEN that no service has.
func (r *Repository) nextAdminPort() string {
	var mains []string
	for file, content := range r.files {
		if strings.HasSuffix(file, "/main.go") && !strings.HasPrefix(file, templateFolder) {
			mains = append(mains, string(content))
		}
	}
	return nextPort(adminPort, mains...)
}

// renameWord replaces a service's name in its three spellings.
func renameWord(s, from, to string) string {
	title := func(name string) string { return strings.ToUpper(name[:1]) + name[1:] }
	return strings.NewReplacer(from, to, title(from), title(to), strings.ToUpper(from), strings.ToUpper(to)).Replace(s)
}

// NextSteps returns the commands to try a new service, one in a line.
func (r *Repository) NextSteps(name string) []string {
	port := strings.ToUpper(name) + "_PORT"
	if match := regexp.MustCompile(port + `:-(\d+)`).FindSubmatch(r.files[compose]); match != nil {
		port = string(match[1])
	}
	body := fmt.Sprintf(`{"user":"https://%s/user/42/","text":"Called back."}`, host("census"))
	url := "https://" + host(name) + "/entry/"
	return []string{
		fmt.Sprintf("make build && .bin/withpostgres go test ./%s/... ./migrations/%s", name, name),
		"docker compose up --build --wait && docker compose cp setup:/material/callers/. .compose",
		fmt.Sprintf(`curl -i --cacert .compose/ca.pem --connect-to %s:443:127.0.0.1:%s -H 'Content-Type: application/json' -d '%s' `+
			`-H "JWT: $(docker compose run --rm -T svcauth token --key /material/callers/shop.pem --issuer https://%s/ `+
			`--subject https://%s/user/21/ --method POST --body '%s' %s)" %s`,
			host(name), port, body, host("shop"), host("census"), body, url, url),
	}
}
