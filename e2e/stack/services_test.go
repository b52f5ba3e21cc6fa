package stack_test

import (
	"path/filepath"
	"slices"
	"testing"

	"example.com/micromachine/e2e/stack"
)

// The table has each service of the repository, and no other.
func TestServices(t *testing.T) {
	t.Parallel()
	matches, err := filepath.Glob("../../*/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, match := range matches {
		want = append(want, filepath.Base(filepath.Dir(match)))
	}
	for _, service := range stack.Services() {
		got = append(got, service.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table has %q, and the folders with an openapi.yaml are %q", got, want)
	}
}
