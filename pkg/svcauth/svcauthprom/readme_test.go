package svcauthprom_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/micromachine/pkg/svcauth/svcauthprom"
)

// The library's README has each metric with its labels, and no other.
func TestReadmeMetrics(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n### Metrics\n")
	section, _, _ = strings.Cut(section, "\n#")
	var got, want []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		got = append(got, match[1])
	}
	descs := make(chan *prometheus.Desc, 100)
	new(svcauthprom.Collector).Describe(descs)
	close(descs)
	parts := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: (\{[^}]*\})`)
	for desc := range descs {
		match := parts.FindStringSubmatch(desc.String())
		want = append(want, strings.TrimSuffix(match[1]+match[2], "{}"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the README has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
