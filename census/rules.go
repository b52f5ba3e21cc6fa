package census

import (
	"errors"
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// DefaultLocale is the locale of a user created without one.
const DefaultLocale = "en"

// The largest sizes of a user's fields. The bounds on an email address are those of an SMTP path
// (RFC 5321 section 4.5.3.1). The bound on a locale is the one that BCP 47 section 4.4.1
// recommends.
const (
	maxNameRunes  = 200
	maxEmailBytes = 254
	maxLocalBytes = 64
	maxLocale     = 35
)

// A FieldError describes what is wrong with one field of a user.
type FieldError struct {
	Field string // "name", "email" or "locale"
	Err   error  // completes a sentence that starts with the field: "must not be empty"
}

// An InvalidError lists all invalid fields of a user.
type InvalidError struct {
	Fields []FieldError
}

// Error lists the fields and what is wrong with each. It does not contain their values.
func (e *InvalidError) Error() string {
	texts := make([]string, 0, len(e.Fields))
	for _, f := range e.Fields {
		texts = append(texts, f.Field+" "+f.Err.Error())
	}
	return strings.Join(texts, "; ")
}

// Normalize returns the user in the form in which Census stores it: the name without surrounding
// space, the email address with a lower-case domain, the locale in canonical form and
// [DefaultLocale] when it is empty. The error, if any, is an [*InvalidError].
func (u User) Normalize() (User, error) {
	if u.Locale == "" {
		u.Locale = DefaultLocale
	}
	update, err := Update{Name: &u.Name, Email: &u.Email, Locale: &u.Locale}.Normalize()
	if err != nil {
		return User{}, err
	}
	u.Name, u.Email, u.Locale = *update.Name, *update.Email, *update.Locale
	return u, nil
}

// Normalize does the same as [User.Normalize] for those fields that are not nil.
func (u Update) Normalize() (Update, error) {
	var invalid InvalidError
	normalize := func(field string, value *string, rule func(string) (string, error)) *string {
		if value == nil {
			return nil
		}
		normal, err := rule(*value)
		if err != nil {
			invalid.Fields = append(invalid.Fields, FieldError{field, err})
		}
		return &normal
	}
	normal := Update{
		Name:   normalize("name", u.Name, normalizeName),
		Email:  normalize("email", u.Email, NormalizeEmail),
		Locale: normalize("locale", u.Locale, normalizeLocale),
	}
	if len(invalid.Fields) > 0 {
		return Update{}, &invalid
	}
	return normal, nil
}

// normalizeName returns the name without surrounding space. It rejects an invalid name, and text
// that could change the meaning of a mail header or of the text around the name.
func normalizeName(s string) (string, error) {
	name := strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(name):
		return "", errors.New("must be valid UTF-8")
	case name == "":
		return "", errors.New("must not be empty")
	case utf8.RuneCountInString(name) > maxNameRunes:
		return "", errors.New("must have at most 200 characters")
	case strings.ContainsFunc(s, isControl):
		return "", errors.New("must not contain control characters")
	case strings.Contains(name, "=?"):
		return "", errors.New("must not look like an encoded word of a mail header")
	}
	return name, nil
}

// isControl reports whether r ends a line, is a control character or changes the direction of the
// text after it.
func isControl(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

var (
	errEmail = errors.New("must be a mail address such as user@example.com")

	// The last label of a domain starts with a letter. Otherwise the domain could be an IPv4
	// address.
	domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// NormalizeEmail returns a mail address with its domain in lower case. It accepts an ASCII address
// without a display name, comment, quotes or space, whose domain has a dot. It rejects an address
// that looks like an encoded word (RFC 2047). Herald applies its own rule, which accepts more
// addresses, before it sends a mail: recipientAddress in herald/internal/mail.
func NormalizeEmail(s string) (string, error) {
	if len(s) > maxEmailBytes {
		return "", errors.New("must have at most 254 characters")
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || strings.ContainsFunc(s, notGraphicASCII) || strings.Contains(s, "=?") {
		return "", errEmail
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], strings.ToLower(s[at+1:])
	if len(local) > maxLocalBytes || strings.ContainsAny(local, `"\@`) || !domainPattern.MatchString(domain) {
		return "", errEmail
	}
	return local + "@" + domain, nil
}

func notGraphicASCII(r rune) bool { return r <= ' ' || r > '~' }

func normalizeLocale(s string) (string, error) {
	errLocale := errors.New("must be a BCP 47 language tag such as en or de-AT")
	if len(s) > maxLocale {
		return "", errLocale
	}
	tag, err := language.Parse(s)
	if err != nil {
		return "", errLocale
	}
	if base, _, _ := tag.Raw(); base == (language.Base{}) { // "und" or a private tag such as "x-mine"
		return "", errLocale
	}
	return tag.String(), nil
}
