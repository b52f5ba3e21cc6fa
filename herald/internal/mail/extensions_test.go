package mail_test

import (
	"slices"
	"strings"
	"testing"

	"example.com/micromachine/herald/internal/mail"
)

// allExtensions are extensions that current servers offer.
var allExtensions = []string{
	"PIPELINING", "SIZE 10240000", "ETRN", "AUTH SCRAM-SHA-256 PLAIN LOGIN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN",
	"SMTPUTF8", "CHUNKING", "BINARYMIME", "REQUIRETLS", "DELIVERBY 240", "MT-PRIORITY", "FUTURERELEASE 1 2",
	"LIMITS RCPTMAX=1",
}

// TestUnneededExtensionsAreNotRequested sends a mail whose header and body are not ASCII before
// they are encoded.
func TestUnneededExtensionsAreNotRequested(t *testing.T) {
	t.Parallel()
	config := mail.Config{From: "Hérald <herald@example.com>"}
	server, sender := startScripted(t, script{"EHLO": offer(allExtensions...)}, config)
	to := user("de")
	to.Name = "Jürgen Müller"
	if err := send(t.Context(), sender, compose(t, to)); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"MAIL": "MAIL FROM:<herald@example.com>",
		"RCPT": "RCPT TO:<" + to.Email + ">",
	} {
		if got := server.heard(command); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, line := range server.heard("") {
		if strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("line of 8 bits: %q", line)
		}
	}
}

// TestSMTPUTF8IsRequestedOnlyWhenNeeded sends mails with and without the need for SMTPUTF8 over one
// connection.
func TestSMTPUTF8IsRequestedOnlyWhenNeeded(t *testing.T) {
	t.Parallel()
	ascii, beyond := compose(t, user("en")), compose(t, user("en"))
	beyond.To.Address = "jürgen@example.com"
	const plain = "MAIL FROM:<herald@example.com>"

	server, sender := startScripted(t, script{"EHLO": offer("8BitMime", "smtpUTF8")}, mail.Config{})
	for _, m := range []*mail.Message{ascii, beyond, ascii} {
		if err := send(t.Context(), sender, m); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.heard("MAIL"); !slices.Equal(got, []string{plain, plain + " SMTPUTF8", plain}) {
		t.Errorf("got %q", got)
	}
	if got := server.heard("EHLO"); len(got) != 2 { // before and after STARTTLS
		t.Errorf("connected again: %q", got)
	}

	server, sender = startScripted(t, script{"EHLO": offer("8BITMIME")}, mail.Config{})
	if got := mustFail(t, sender, beyond); !got.Permanent || !strings.Contains(got.Detail, "SMTPUTF8") {
		t.Errorf("not offered: %+v", got)
	}
	if got := server.heard("MAIL"); len(got) != 0 {
		t.Errorf("not offered: %q", got)
	}
}

// TestReplacedConnectionRequestsNoExtensions uses a server that closes each connection at its
// second mail.
func TestReplacedConnectionRequestsNoExtensions(t *testing.T) {
	t.Parallel()
	server, sender := startScripted(t, script{"EHLO": offer(allExtensions...), ".": "250 ok|"}, mail.Config{})
	for range 2 {
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Fatal(err)
		}
	}
	const plain = "MAIL FROM:<herald@example.com>"
	if got := server.heard("MAIL"); !slices.Equal(got, []string{plain, plain, plain}) {
		t.Errorf("got %q", got)
	}
}
