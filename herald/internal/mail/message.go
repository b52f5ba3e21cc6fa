// Package mail renders Herald's mails and sends them over SMTP.
//
//	sender, err := mail.NewSender(mail.Config{
//		Addr: "mail.example.com:587", From: "Herald <herald@example.com>", Domain: "herald.service",
//	})
//	defer sender.Close()
//	message, err := mail.Compose(notification, recipient)
//	conn, err := sender.Connect(ctx, message.Domain())
//	defer conn.Release()
//	err = conn.Send(ctx, message)
//
// Connect and Send are separate because a failure of Connect means that nothing was sent. Idle
// connections are reused.
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

// ErrRecipient says that the user's name or address cannot be used in the header of a mail.
var ErrRecipient = errors.New("the user's name or address cannot be used in a mail")

// The limits on header values: the characters of a name, and the bytes of an address (RFC 5321
// section 4.5.3.1).
const (
	maxName    = 256
	maxAddress = 254
)

// The templates. Each notification type has TYPE.LOCALE.txt, which also defines
// TYPE.LOCALE.subject, and TYPE.LOCALE.html. Their data is a herald.Recipient.
var (
	//go:embed templates
	files embed.FS
	texts = template.Must(template.ParseFS(files, "templates/*.txt"))
	htmls = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/*.html"))
)

// The locales that have templates. The first one is the default.
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
				return fmt.Errorf("mail: the type %s needs the templates %s.txt, which defines %[2]s.subject, and %[2]s.html",
					kind, name)
			}
		}
	}
	return nil
}

// A Message is a mail to send.
type Message struct {
	ID      string // the part of the Message-ID before the @
	Date    time.Time
	To      mail.Address
	Subject string
	Text    string
	HTML    string
}

// Domain returns the domain of the recipient's address, in lower case.
func (m *Message) Domain() string {
	return strings.ToLower(m.To.Address[strings.LastIndexByte(m.To.Address, '@')+1:])
}

// Compose renders the mail for a notification. It uses the templates of the recipient's locale, or
// those of the default locale. ID and Date come from the notification, so that recipients can
// recognise a mail that is sent twice. The error is ErrRecipient when the recipient's name or
// address cannot be used; a retry would not help.
func Compose(n *herald.Notification, to herald.Recipient) (*Message, error) {
	address, ok := recipientAddress(to.Email)
	if !ok || !validName(to.Name) {
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
		return nil, fmt.Errorf("rendering mail: %w", err)
	}
	return &Message{
		ID: n.ID.String(), Date: n.CreatedAt, To: mail.Address{Name: to.Name, Address: address},
		Subject: subject.String(), Text: text.String(), HTML: html.String(),
	}, nil
}

// validName reports whether a name can be used in a header. It rejects characters that end a header
// line, and text that would be decoded as an encoded word.
func validName(name string) bool {
	return strings.TrimSpace(name) != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxName &&
		!strings.ContainsFunc(name, endsLine) && !strings.Contains(name, "=?")
}

func endsLine(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

// singleSpaced returns a name with each run of white space replaced by one space. A long run would
// be folded into a line that looks like the empty line after the header.
func singleSpaced(name string) string { return strings.Join(strings.Fields(name), " ") }

// recipientAddress returns the address in the form in which it is sent. It accepts only a plain
// address without name, comment, quotes or spaces, and with an ASCII local part. It accepts domains
// that census.NormalizeEmail rejects, such as one without a dot, because Herald does not depend on
// Census's rule.
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
