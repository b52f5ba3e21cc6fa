package svcauth_test

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of each package, from the top down. A file uses only files below it.
var fileOrder = map[string][]string{
	".": {
		"transport.go", "signer.go", "unverified.go",
		"middleware.go", "verify.go", "checks.go", "verifier.go", "cache.go",
		"token.go", "claims.go", "request.go", "stats.go", "refusal.go", "admission.go", "replay.go", "svcauth.go",
	},
	"keys": {
		"rotate.go", "lock_unix.go", "lock_other.go", "files.go", "directory.go", "jwks.go", "pem.go", "private.go", "remote.go",
		"publicset.go", "set.go", "jwk.go", "public.go", "algorithm.go", "rsamodulus.go", "keys.go",
	},
	"trust": {
		"watcher.go", "read.go", "yaml.go", "build.go", "sharedkeys.go", "keyseturl.go", "explain.go", "policy.go",
		"entry.go", "pattern.go", "lines.go", "issuer.go", "trust.go",
	},
	"internal/keyset": {
		"keyset.go", "refresh.go", "lookup.go", "set.go", "fetch.go", "owners.go", "tokenbucket.go", "unknownkids.go",
	},
}

// Each file of a package uses only files below it in the stated order. So no two files use each
// other.
func TestFilesUseFilesBelow(t *testing.T) {
	t.Parallel()
	exports := exportData(t)
	for dir, order := range fileOrder {
		for use, position := range usesOfFiles(t, dir, exports) {
			from, to := slices.Index(order, use[0]), slices.Index(order, use[1])
			switch {
			case from < 0:
				t.Errorf("%s/%s is not in the order", dir, use[0])
			case to >= 0 && to < from:
				t.Errorf("%s/%s uses %s, which is above it: %s", dir, use[0], use[1], position)
			}
		}
	}
}

// exportData returns the file with the compiler's export data of each package that svcauth imports.
func exportData(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return files
}

// usesOfFiles returns the pairs of a file and another file of its package that it uses, each with
// the position of one use. Each file forms a pair with itself, too.
func usesOfFiles(t *testing.T, dir string, exports map[string]string) map[[2]string]string {
	t.Helper()
	fset := gotoken.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if match, err := build.Default.MatchFile(dir, filepath.Base(name)); err != nil || !match || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", open)}
	pkg, err := config.Check(dir, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	fileOf := func(pos gotoken.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
	uses := map[[2]string]string{}
	for _, file := range files {
		uses[[2]string{fileOf(file.Pos()), fileOf(file.Pos())}] = ""
	}
	for ident, object := range info.Uses {
		if object.Pkg() == pkg && fileOf(ident.Pos()) != fileOf(object.Pos()) {
			uses[[2]string{fileOf(ident.Pos()), fileOf(object.Pos())}] = fset.Position(ident.Pos()).String() + " " + ident.Name
		}
	}
	return uses
}
