// Package scaffold makes a new service from a template, removes it again, and gives the repository
// another module path and domain. The command scaffold runs it for make:
//
//	make new-service NAME=ledger
//	make remove-service NAME=ledger
//	make rename MODULE=github.com/acme/platform DOMAIN=acme.internal
//
// The template is the service in the folder journal beside this package. It is compiled, linted and
// tested like every other package. [Repository.NewService] copies it to a folder of its own, with
// its names, paths and ports changed, and adds the service to the files that list all services.
// What it adds there is a copy of what these files say about Census.
//
// Each change is made in a copy of the repository first, which must compile. The repository itself
// is changed only then.
package scaffold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"example.com/micromachine/pkg/service"
)

// A Repository is the files of a checkout. It is used by one goroutine.
type Repository struct {
	root   string
	module string // the path of the module
	files  map[string][]byte
	notes  []string
}

// Open reads the repository that has the given root.
func Open(root string) (*Repository, error) {
	r := &Repository{root: root, files: map[string][]byte{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && ignored(name):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		r.files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the repository: %w", err)
	}
	module := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(r.files["go.mod"])
	if module == nil {
		return nil, errors.New("there is no go.mod: run this in the root of the repository")
	}
	r.module = string(module[1])
	return r, nil
}

// ignored reports whether a folder is not part of the repository. The folder .ci is part of it.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") && name != "." && name != ".ci" && !strings.HasPrefix(name, ".ci/")
}

// has reports whether the repository has a file, or a folder that is not empty.
func (r *Repository) has(path string) bool {
	for name := range r.files {
		if name == path || strings.HasPrefix(name, path+"/") {
			return true
		}
	}
	return false
}

// isText reports whether a file can be edited as text.
func isText(content []byte) bool { return utf8.Valid(content) && !bytes.Contains(content, []byte{0}) }

// host returns the host name of a service of the repository.
func host(name string) string { return name + "." + service.Domain }

// run runs a program in a directory. The error contains its output.
func run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w:\n%s", filepath.Base(program), strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
