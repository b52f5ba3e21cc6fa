package scaffold

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// RemoveService returns the plan that removes a service and everything that NewService added for it.
// It refuses a service whose packages are imported by others. Places where the name is left, such as
// in code that was written since, are notes of the plan.
func (r *Repository) RemoveService(ctx context.Context, name string) (*Plan, error) {
	files, err := r.withoutService(name)
	if err != nil {
		return nil, err
	}
	return r.finish(ctx, files)
}

// withoutService returns the files of the repository without a service.
func (r *Repository) withoutService(name string) (map[string][]byte, error) {
	if !namePattern.MatchString(name) || !r.has(name+"/cmd/"+name+"/main.go") {
		return nil, fmt.Errorf("there is no service %q: no file %s/cmd/%s/main.go", name, name, name)
	}
	files := maps.Clone(r.files)
	own := func(file string) bool {
		return strings.HasPrefix(file, name+"/") || strings.HasPrefix(file, "migrations/"+name+"/") || file == trustFolder+name+".yaml"
	}
	maps.DeleteFunc(files, func(file string, _ []byte) bool { return own(file) })
	if user := r.userOf(files, name); user != "" {
		return nil, fmt.Errorf("%s uses %s, so it cannot be removed: this only undoes new-service", user, name)
	}
	change := func(file string, edit func(text string) string) {
		if content, ok := files[file]; ok {
			files[file] = []byte(edit(string(content)))
		}
	}
	for _, l := range listings {
		change(l.file, func(text string) string { return l.remove(text, name, r.module) })
	}
	change(censusTrust, func(text string) string { return strings.Replace(text, r.trustEntry(name), "", 1) })
	change("README.md", func(text string) string { return strings.Replace(text, link(name), "", 1) })
	r.noteMentions(files, name)
	return files, nil
}

// userOf returns a file with Go code that uses a service, or "": that imports its packages, or has
// its name as a string.
func (r *Repository) userOf(files map[string][]byte, name string) string {
	uses := regexp.MustCompile(fmt.Sprintf(`"%s"|"%s/(migrations/)?%s["/]`, name, regexp.QuoteMeta(r.module), name))
	for _, file := range slices.Sorted(maps.Keys(files)) {
		code := strings.HasSuffix(file, ".go") && file != stackServices && !strings.HasPrefix(file, "pkg/scaffold/")
		if code && uses.Match(files[file]) {
			return file
		}
	}
	return ""
}

// noteMentions notes the files that still have the host name of a removed service.
func (r *Repository) noteMentions(files map[string][]byte, name string) {
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if file != "README.md" && strings.Contains(string(files[file]), host(name)) { // whose map is drawn anew
			r.noteOnce("%s still mentions %s", file, host(name))
		}
	}
}
