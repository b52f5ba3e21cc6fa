// Package mail writes Herald's mails and sends them over SMTP.
//
//	sender, err := mail.NewSender(mail.Config{Addr: "mail.example.com:587", From: "Herald <herald@example.com>"})
//	defer sender.Close()
//	message, err := mail.Compose(notification, recipient)
//	conn, err := sender.Connect(ctx, message.Domain())
//	defer conn.Release()
//	err = conn.Send(ctx, message)
//
// Sending has two steps because whatever goes wrong in the first, nothing has
// been sent. Connections are kept open and used again.
package mail

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/mail"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"example.com/micromachine/herald"
)

// ErrRecipient says that a user's name or address cannot stand in a mail's header.
var ErrRecipient = errors.New("the user's name or address cannot be used in a mail")

// Bounds on what a header takes. That on the address is SMTP's (RFC 5321 section
// 4.5.3.1).
const (
	maxName    = 256
	maxAddress = 254
)

// A notification's type has the templates TYPE.LOCALE.txt, which defines
// TYPE.LOCALE.subject too, and TYPE.LOCALE.html. They are executed with a
// herald.Recipient.
var (
	//go:embed templates
	files embed.FS
	texts = template.Must(template.ParseFS(files, "templates/*.txt"))
	htmls = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/*.html"))
)

// locales are those with templates; the first is for everybody else.
var (
	locales = []language.Tag{language.English, language.German}
	matcher = language.NewMatcher(locales)
)

// checkTemplates returns an error unless each type has its templates in each locale.
func checkTemplates() error {
	for _, kind := range herald.Types() {
		for _, locale := range locales {
			name := string(kind) + "." + locale.String()
			if texts.Lookup(name+".subject") == nil || texts.Lookup(name+".txt") == nil || htmls.Lookup(name+".html") == nil {
				return fmt.Errorf("mail: the type %s has not all its templates %s.txt, with %[2]s.subject in it, and %[2]s.html",
					kind, name)
			}
		}
	}
	return nil
}

// A Message is a mail to be sent.
type Message struct {
	ID      string // the Message-ID's part before the @
	Date    time.Time
	To      mail.Address
	Subject string
	Text    string
	HTML    string
}

// Domain returns the domain of the message's recipient.
func (m *Message) Domain() string {
	return strings.ToLower(m.To.Address[strings.LastIndexByte(m.To.Address, '@')+1:])
}

// Compose writes the mail for a notification, in the recipient's language where
// there are templates in it. ID and date are the notification's, so that a mail
// which is sent twice can be recognised. The error is ErrRecipient when the mail
// could not be sent to this recipient, now or later.
func Compose(n *herald.Notification, to herald.Recipient) (*Message, error) {
	address, ok := recipientAddress(to.Email)
	if !ok || !fitName(to.Name) {
		return nil, ErrRecipient
	}
	to.Name = singleSpaced(to.Name)
	_, locale, _ := matcher.Match(language.Make(to.Locale))
	name := string(n.Type) + "." + locales[locale].String()
	var subject, text, html strings.Builder
	err := errors.Join(
		texts.ExecuteTemplate(&subject, name+".subject", to),
		texts.ExecuteTemplate(&text, name+".txt", to),
		htmls.ExecuteTemplate(&html, name+".html", to),
	)
	if err != nil {
		return nil, fmt.Errorf("writing mail: %w", err)
	}
	return &Message{
		ID: n.ID.String(), Date: n.CreatedAt, To: mail.Address{Name: to.Name, Address: address},
		Subject: subject.String(), Text: text.String(), HTML: html.String(),
	}, nil
}

// fitName refuses what could end a header's line, or be decoded into something
// that does.
func fitName(name string) bool {
	return strings.TrimSpace(name) != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName &&
		!strings.ContainsFunc(name, endsLine) && !strings.Contains(name, "=?")
}

func endsLine(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

// singleSpaced returns a name without runs of spaces. A long one would be folded into
// a line that looks empty, and so like the end of the header.
func singleSpaced(name string) string { return strings.Join(strings.Fields(name), " ") }

// recipientAddress takes a plain address only, without name, comment, quotes or space,
// and of ASCII but for the domain. It returns the address as it is sent.
func recipientAddress(address string) (string, bool) {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || strings.Contains(address, "=?") {
		return "", false
	}
	if address, err = asciiDomain(address); err != nil || strings.ContainsFunc(address, notPrintableASCII) {
		return "", false
	}
	return address, true
}
