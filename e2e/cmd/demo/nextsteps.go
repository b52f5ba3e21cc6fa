package main

import (
	"os"
	"path/filepath"

	"example.com/micromachine/e2e/stack"
)

// printNextSteps prints commands for a shell. They read the file env and sign their tokens when
// they run.
func (s *story) printNextSteps(binDir, envFile string) {
	s.title("Try it: the system runs until Ctrl-C. In another shell, in this directory:")
	for _, line := range []string{
		". " + stack.Quote(relative(envFile)),
		"",
		"# shop.service asks Herald for a mail, on behalf of user 21",
		"BODY='" + welcome + "'",
		"TOKEN=$(" + relative(filepath.Join(binDir, "svcauth")) + ` token --key "$SHOP_KEY" --issuer https://shop.service/ \`,
		`  --subject https://census.service/user/21/ --method POST --body "$BODY" https://herald.service/notification/)`,
		`curl --cacert "$CA_FILE" --connect-to "herald.service:443:$HERALD_ADDR" -i -H "JWT: $TOKEN" \`,
		`  -H 'Content-Type: application/json' --data-binary "$BODY" https://herald.service/notification/`,
		"",
		"# shop.service reads user 42 at Census, on behalf of user 21; a token that only reads works again for a minute",
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

// relative returns a path relative to the working directory when that is shorter.
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
