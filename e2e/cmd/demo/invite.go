package main

import (
	"os"
	"path/filepath"

	"example.com/micromachine/e2e/stack"
)

// invite prints lines with which to go on by hand. They find everything in the file env, and sign at the moment they run.
func (s *story) invite(binDir, envFile string) {
	s.title("Your turn: it all stays up until Ctrl-C. In another shell, in this directory:")
	for _, line := range []string{
		". " + stack.Quote(relative(envFile)),
		"",
		"# shop.service asks Herald for a mail, in the name of user 21",
		"BODY='" + welcome + "'",
		"TOKEN=$(" + relative(filepath.Join(binDir, "svcauth")) + ` token --key "$SHOP_KEY" --issuer https://shop.service/ \`,
		`  --subject https://census.service/user/21/ --method POST --body "$BODY" https://herald.service/notification/)`,
		`curl --cacert "$CA_FILE" --connect-to "herald.service:443:$HERALD_ADDR" -i -H "JWT: $TOKEN" \`,
		`  -H 'Content-Type: application/json' --data-binary "$BODY" https://herald.service/notification/`,
		"",
		"# shop.service reads user 42 at Census, in the name of user 21; a token that only reads works again for a minute",
		"TOKEN=$(" + relative(filepath.Join(binDir, "svcauth")) + ` token --key "$SHOP_KEY" --issuer https://shop.service/ \`,
		`  --subject https://census.service/user/21/ https://census.service/user/42/)`,
		`curl --cacert "$CA_FILE" --connect-to "census.service:443:$CENSUS_ADDR" -i -H "JWT: $TOKEN" \`,
		`  https://census.service/user/42/`,
		"",
		`sleep 1; ls "$MAIL_DIR"`,
	} {
		s.line("%s", line)
	}
}

// relative shortens a path where that can be done.
func relative(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && len(short) < len(path) {
		return "./" + short
	}
	return path
}
