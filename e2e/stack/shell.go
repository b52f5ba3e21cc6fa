package stack

import (
	"fmt"
	"os"
	"strings"
)

// EnvFile returns the variables for calls by hand from a shell, as "export NAME=value" lines.
func (s *Stack) EnvFile() []byte {
	var out []byte
	export := func(name, value string) { out = fmt.Appendf(out, "export %s=%s\n", name, Quote(value)) }
	for _, service := range s.Services {
		export(service.prefix()+"ADDR", service.Addr)
		export(service.prefix()+"DATABASE_URL", service.DatabaseURL)
	}
	export("CA_FILE", s.CAFile)
	export("MAIL_DIR", s.MailDir)
	export("ANOTHER_KEY", s.Another.KeyFile)
	export("SHOP_KEY", s.Shop.KeyFile)
	export("SHOP_KID", s.Shop.KeyID())
	export("OFFICE_KEY", s.Office.KeyFile)
	return out
}

// WriteEnv writes EnvFile to a file. It replaces the file atomically.
func (s *Stack) WriteEnv(file string) error {
	part := file + ".part"
	if err := os.WriteFile(part, s.EnvFile(), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.Rename(part, file)
}

// Quote quotes s as one word of a POSIX shell. It returns s unchanged when no quoting is needed.
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func special(r rune) bool {
	return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:@%+=,?", r)
}
