package scaffold

import (
	"regexp"
	"strconv"
	"strings"
)

// The ports of a service: the one of the host at which the compose file publishes it, and the one of
// ADMIN_LISTEN in its main.go.
var (
	hostPort  = regexp.MustCompile(`_PORT:-(\d+)\}:443`)
	adminPort = regexp.MustCompile(`AdminListen: "127\.0\.0\.1:(\d+)"`)
)

// nextPort returns the number after the highest that the pattern finds in the texts.
func nextPort(pattern *regexp.Regexp, texts ...string) string {
	highest := 0
	for _, match := range pattern.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		port, _ := strconv.Atoi(match[1])
		highest = max(highest, port)
	}
	return strconv.Itoa(highest + 1)
}

// withPort returns a text with another port in the place of the one that the pattern finds.
func withPort(text string, pattern *regexp.Regexp, port string) string {
	old := pattern.FindStringSubmatch(text)
	if old == nil {
		return text
	}
	return strings.ReplaceAll(text, old[1], port)
}
