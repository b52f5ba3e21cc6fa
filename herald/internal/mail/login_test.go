package mail_test

import (
	"strings"
	"testing"

	"example.com/micromachine/herald/internal/mail"
)

// TestAuthSelectsTheMechanism uses servers that offer more mechanisms than they accept.
func TestAuthSelectsTheMechanism(t *testing.T) {
	t.Parallel()
	const login, cramMD5 = "334 VXNlcm5hbWU6|334 UGFzc3dvcmQ6|235 ok", "334 PDE+|235 ok"
	for name, test := range map[string]struct {
		auth   mail.Mechanism
		script script
		used   string
	}{
		"best":                {"", script{"EHLO": offer("AUTH LOGIN PLAIN"), "AUTH PLAIN": "235 ok"}, "PLAIN"},
		"auto":                {"auto", script{"EHLO": offer("AUTH LOGIN PLAIN"), "AUTH PLAIN": "235 ok"}, "PLAIN"},
		"the only one":        {"auto", script{"EHLO": offer("AUTH GSSAPI LOGIN"), "AUTH LOGIN": login}, "LOGIN"},
		"not the best":        {"plain", script{"EHLO": offer("AUTH SCRAM-SHA-256 PLAIN"), "AUTH PLAIN": "235"}, "PLAIN"},
		"login, others first": {"login", script{"EHLO": offer("auth plain login"), "AUTH LOGIN": login}, "LOGIN"},
		"in capitals":         {"LOGIN", script{"EHLO": offer("AUTH PLAIN LOGIN"), "AUTH LOGIN": login}, "LOGIN"},
		"CRAM-MD5": {
			"cram-md5",
			script{"EHLO": offer("AUTH PLAIN CRAM-MD5"), "AUTH CRAM-MD5": cramMD5},
			"CRAM-MD5",
		},
		"CRAM-MD5 alone":      {"auto", script{"EHLO": offer("AUTH CRAM-MD5"), "AUTH CRAM-MD5": cramMD5}, "CRAM-MD5"},
		"a prefix of another": {"auto", script{"EHLO": offer("AUTH PLAIN-CLIENTTOKEN LOGIN"), "AUTH LOGIN": login}, "LOGIN"},
		"empty challenge":     {"auto", script{"EHLO": offer("AUTH LOGIN"), "AUTH LOGIN": "334|334|235"}, "LOGIN"},
	} {
		server, sender := startScripted(t, test.script, mail.Config{Username: "herald", Password: "secret", Auth: test.auth})
		if err := send(t.Context(), sender, compose(t, user("en"))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := server.heard("AUTH"); len(got) != 1 || !strings.HasPrefix(got[0]+" ", "AUTH "+test.used+" ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestRefusedMechanismIsNamed checks that the error of a failed login contains the mechanism and
// never the password.
func TestRefusedMechanismIsNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		auth         mail.Mechanism
		offer, reply string
		code         int
		detail       string
	}{
		"not accepted":     {"auto", offer("AUTH SCRAM-SHA-256 PLAIN"), "504 no such mechanism", 504, "SCRAM-SHA-256"},
		"refused":          {"plain", offer("AUTH SCRAM-SHA-256 PLAIN"), "535 5.7.8 herald: secret is wrong", 535, "PLAIN"},
		"refused, dropped": {"plain", offer("AUTH PLAIN"), "", 0, ""},
		"not offered":      {"plain", offer("AUTH SCRAM-SHA-256-PLUS LOGIN"), "235 ok", 0, "PLAIN"},
		"only with PLUS":   {"scram-sha-256", offer("AUTH SCRAM-SHA-256-PLUS"), "235 ok", 0, "SCRAM-SHA-256"},
		"none is known":    {"auto", offer("AUTH GSSAPI XOAUTH2"), "235 ok", 0, "login"},
		"no login":         {"auto", offer("SIZE"), "235 ok", 0, "login"},
	} {
		_, sender := startScripted(t, script{"EHLO": test.offer, "AUTH": test.reply},
			mail.Config{Username: "herald", Password: "secret", Auth: test.auth})
		got := mustFail(t, sender, compose(t, user("en")))
		if got.Code != test.code || got.Permanent || got.InDoubt || !strings.Contains(got.Detail, test.detail) {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(got.Error(), "secret") {
			t.Errorf("%s: the error contains the password: %v", name, got)
		}
	}
}
