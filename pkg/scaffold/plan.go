package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// A Plan is a change of a repository that has not been made yet.
type Plan struct {
	// Notes are lines for people about what the plan leaves undone, such as a file of the repository
	// that is not there.
	Notes []string

	root   string
	before map[string][]byte // the files that change; nil for a new file
	after  map[string][]byte // nil for a file to be deleted
}

// plan returns the change from r to the given files.
func (r *Repository) plan(files map[string][]byte) *Plan {
	p := &Plan{root: r.root, Notes: r.notes, before: map[string][]byte{}, after: map[string][]byte{}}
	for name, content := range files {
		if old, ok := r.files[name]; !ok || !bytes.Equal(old, content) {
			p.before[name], p.after[name] = old, content
		}
	}
	for name, content := range r.files {
		if _, ok := files[name]; !ok {
			p.before[name], p.after[name] = content, nil
		}
	}
	return p
}

// Len returns the number of files that the plan changes.
func (p *Plan) Len() int { return len(p.after) }

// Print lists the files that the plan creates, changes and deletes, in the order of their names.
func (p *Plan) Print(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(p.after)) {
		action := "change"
		switch {
		case p.before[name] == nil:
			action = "create"
		case p.after[name] == nil:
			action = "delete"
		}
		fmt.Fprintf(w, "%s  %s\n", action, name)
	}
}

// Apply makes the change. After an error the repository is as it was before.
func (p *Plan) Apply() error {
	var done []string
	for _, name := range slices.Sorted(maps.Keys(p.after)) {
		done = append(done, name)
		if err := p.write(name, p.after[name]); err != nil {
			for _, name := range slices.Backward(done) {
				err = errors.Join(err, p.write(name, p.before[name]))
			}
			return fmt.Errorf("writing the change: %w", err)
		}
	}
	return nil
}

// write writes a file, or deletes it when content is nil, and then also the folders that are empty
// without it.
func (p *Plan) write(name string, content []byte) error {
	path := filepath.Join(p.root, filepath.FromSlash(name))
	if content != nil {
		return writeFile(path, content)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for dir, empty := filepath.Dir(path), true; empty && dir != filepath.Clean(p.root); dir = filepath.Dir(dir) {
		empty = os.Remove(dir) == nil
	}
	return nil
}

// writeFile writes a file and the folders above it. A file that exists keeps its mode.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
