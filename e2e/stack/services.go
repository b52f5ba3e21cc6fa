package stack

import (
	"slices"
	"strings"
)

// The base URLs of the services that the demo and the tests call.
const (
	CensusURL = "https://census.service/"
	HeraldURL = "https://herald.service/"
)

// Services returns the services of the system in the order in which they start. The program of a
// service NAME is ./NAME/cmd/NAME, and its trust file is trust/NAME.yaml.
func Services() []*Service {
	return []*Service{
		{Name: "census", URL: "https://census.service/"},
		{Name: "herald", URL: "https://herald.service/", settings: (*Stack).heraldSettings},
	}
}

// heraldSettings returns the settings that only Herald has. With a tap, Herald reaches Census
// through it.
func (s *Stack) heraldSettings() []string {
	return []string{
		"HERALD_CONNECT_TO=" + ConnectTo(slices.Concat(s.tapped, s.Services)),
		"HERALD_SMTP_ADDR=" + s.Mail.Addr,
		"HERALD_MAIL_FROM=Herald <herald@example.com>",
	}
}

// A Service is a service of the system. [Start] sets Addr, DatabaseURL and Process.
type Service struct {
	Name        string // of its program, its directory and its log
	URL         string // its name in tokens: https://, the host and a slash
	Addr        string // host:port
	DatabaseURL string
	Process     *Process

	settings func(*Stack) []string // returns the settings that only this service has; nil: none
}

func (s *Service) host() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.URL, "https://"), "/")
}

// prefix returns what the names of the service's settings begin with, such as CENSUS_.
func (s *Service) prefix() string {
	return strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")) + "_"
}

// ConnectTo returns the setting by which the hosts of the services lead to their addresses. Of two
// services with the same host, the first one applies.
func ConnectTo(services []*Service) string {
	rules := make([]string, len(services))
	for i, service := range services {
		rules[i] = service.host() + ":443:" + service.Addr
	}
	return strings.Join(rules, ",")
}
