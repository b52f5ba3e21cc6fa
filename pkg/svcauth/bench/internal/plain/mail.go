package plain

import (
	"context"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"net"
	"strconv"
	"text/template"

	gomail "github.com/wneessen/go-mail"
)

// The mail templates, the same as Herald's.
var (
	//go:embed templates
	files embed.FS
	text  = template.Must(template.ParseFS(files, "templates/welcome.txt"))
	html  = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/welcome.html"))
)

func compose(to user) (*gomail.Msg, error) {
	m := gomail.NewMsg()
	if err := m.FromFormat("Herald", "herald@example.com"); err != nil {
		return nil, fmt.Errorf("composing mail: %w", err)
	}
	if err := m.AddToFormat(to.Name, to.Email); err != nil {
		return nil, fmt.Errorf("composing mail: %w", err)
	}
	m.Subject("Welcome")
	if err := m.SetBodyTextTemplate(text, to); err != nil {
		return nil, fmt.Errorf("composing mail: %w", err)
	}
	if err := m.AddAlternativeHTMLTemplate(html, to); err != nil {
		return nil, fmt.Errorf("composing mail: %w", err)
	}
	return m, nil
}

// A mailer sends mails.
type mailer interface {
	send(ctx context.Context, m *gomail.Msg) error
}

func newMailer(addr string, tuned bool) (mailer, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTLSPolicy(gomail.NoTLS)}
	if tuned {
		return &pool{host: host, options: append(options, gomail.WithoutNoop(), gomail.WithoutRset())}, nil
	}
	client, err := gomail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing mail client: %w", err)
	}
	return dialer{client}, nil
}

// A dialer opens a connection for each mail.
type dialer struct{ client *gomail.Client }

func (d dialer) send(ctx context.Context, m *gomail.Msg) error {
	return d.client.DialAndSendWithContext(ctx, m)
}
