package mail

import (
	"slices"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

// A Mechanism is a SASL mechanism, as named in the reply to EHLO. Case is ignored.
type Mechanism string

// Auto selects the first of [Mechanisms] that the mail server offers.
const Auto Mechanism = "auto"

// mechanisms lists the supported mechanisms in the order of preference. The last three are
// obsolete.
var mechanisms = []struct {
	name Mechanism
	auth func(username, password string) smtp.Auth
}{
	{"scram-sha-256", smtp.ScramSHA256Auth},
	{"plain", func(username, password string) smtp.Auth { return smtp.PlainAuth("", username, password, "", true) }},
	{"login", func(username, password string) smtp.Auth { return smtp.LoginAuth(username, password, "", true) }},
	{"scram-sha-1", smtp.ScramSHA1Auth},
	{"cram-md5", smtp.CRAMMD5Auth},
	{"ntlm", func(username, password string) smtp.Auth { return smtp.NTLMAuth(username, password, "") }},
}

// Mechanisms returns the valid values of a [Mechanism], the default first.
func Mechanisms() []Mechanism {
	names := []Mechanism{Auto}
	for _, m := range mechanisms {
		names = append(names, m.name)
	}
	return names
}

// Valid reports whether the mechanism is one of [Mechanisms].
func (m Mechanism) Valid() bool { return slices.ContainsFunc(Mechanisms(), m.is) }

func (m Mechanism) is(other Mechanism) bool { return strings.EqualFold(string(m), string(other)) }

func (m Mechanism) upper() string { return strings.ToUpper(string(m)) }

// A login authenticates one connection. It chooses the mechanism itself, as go-mail also takes a
// mechanism for offered when its name is a part of another's.
type login struct {
	mechanism          Mechanism
	username, password string

	chosen smtp.Auth
	name   string // the chosen mechanism; empty before the login begins
}

// Start implements [smtp.Auth].
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	for _, m := range mechanisms {
		name := m.name.upper()
		if (l.mechanism.is(Auto) || l.mechanism.is(m.name)) && slices.Contains(server.Auth, name) {
			l.chosen, l.name = m.auth(l.username, l.password), name
			// The server's name is left out. Two mechanisms compare it with the name that they were
			// created with, which is empty, too.
			return l.chosen.Start(&smtp.ServerInfo{TLS: server.TLS, Auth: server.Auth})
		}
	}
	if l.mechanism.is(Auto) {
		return "", nil, &Error{Detail: "the mail server offers no login that Herald knows"}
	}
	return "", nil, &Error{Detail: "the mail server does not offer a login by " + l.mechanism.upper()}
}

// Next implements [smtp.Auth].
func (l *login) Next(fromServer []byte, more bool) ([]byte, error) {
	return l.chosen.Next(fromServer, more)
}
