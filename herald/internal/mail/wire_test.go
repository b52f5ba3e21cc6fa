package mail_test

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"

	"example.com/micromachine/herald"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/pkg/smtptest"
)

func TestSendWritesTheMail(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{})
	to := user("de")
	to.Name = "Jürgen \"J\" Müller"
	m := compose(t, to)
	if err := send(t.Context(), sender, m); err != nil {
		t.Fatal(err)
	}

	got := server.Mails()[0]
	if got.From != "herald@example.com" || len(got.To) != 1 || got.To[0] != to.Email {
		t.Errorf("envelope: from %q to %q", got.From, got.To)
	}
	message, err := netmail.ReadMessage(strings.NewReader(string(got.Data)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Message-Id":     "<" + m.ID + "@herald.service>",
		"Date":           "Sun, 01 Mar 2026 12:30:15 +0000",
		"Subject":        "Herzlich willkommen",
		"From":           `"Herald" <herald@example.com>`,
		"Auto-Submitted": "auto-generated",
		"Mime-Version":   "1.0",
		"User-Agent":     "",
	} {
		if value := message.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if list, err := message.Header.AddressList("To"); err != nil || len(list) != 1 || *list[0] != m.To {
		t.Errorf("To: %v, %v", list, err)
	}
	checkParts(t, message, m)
}

func checkParts(t *testing.T, message *netmail.Message, m *mail.Message) {
	t.Helper()
	mediaType, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/alternative" {
		t.Fatalf("Content-Type: %q, %v", mediaType, err)
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for _, want := range []struct{ mediaType, content string }{
		{"text/plain; charset=UTF-8", m.Text}, {"text/html; charset=UTF-8", m.HTML},
	} {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		if encoding := part.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
			t.Errorf("encoding %q", encoding)
		}
		content, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(content), "\r\n", "\n")
		if part.Header.Get("Content-Type") != want.mediaType || text != want.content {
			t.Errorf("%s: %q, want %s: %q", part.Header.Get("Content-Type"), text, want.mediaType, want.content)
		}
	}
	if _, err := parts.NextRawPart(); !errors.Is(err, io.EOF) {
		t.Errorf("more parts: %v", err)
	}
}

// TestNamesStayInTheirHeader checks the raw mail for names that Compose accepts.
func TestNamesStayInTheirHeader(t *testing.T) {
	t.Parallel()
	server, sender := start(t, smtptest.Config{}, mail.Config{})
	for n, name := range []string{
		`Eve" <all@example.com>, "`, `Eve\`, "Bcc: all@example.com", "Eve,Adam;All:", "<all@example.com>",
		"a" + strings.Repeat(" ", 200) + "Bcc: all@example.com", strings.Repeat("long ", 50) + "name",
		"Ünïcödé " + strings.Repeat("ü", 200), "日本語 " + strings.Repeat("語", 200), "\u202eevil",
		strings.Repeat("x", 256),
	} {
		m := compose(t, herald.Recipient{Name: name, Email: "eve@example.com"})
		if err := send(t.Context(), sender, m); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		data := string(server.Mails()[n].Data)
		message, err := netmail.ReadMessage(strings.NewReader(data))
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		list, err := message.Header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != "eve@example.com" ||
			list[0].Name != strings.Join(strings.Fields(name), " ") {
			t.Errorf("%q: To is %v, %v", name, list, err)
		}
		if message.Header["Bcc"] != nil || message.Header.Get("Message-Id") == "" ||
			message.Header.Get("Content-Type") == "" {
			t.Errorf("%q: header is %v", name, message.Header)
		}
		header, _, _ := strings.Cut(data, "\r\n\r\n")
		for line := range strings.SplitSeq(header, "\r\n") {
			if strings.TrimSpace(line) == "" || len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%q: header line %q", name, line)
			}
		}
	}
}
