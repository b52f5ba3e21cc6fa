package scaffold

import (
	"regexp"
	"slices"
	"strings"
)

// model is the service whose entries in the shared files are copied for a new service.
const model = "census"

// A listing is a part of a file that has an entry for each service. The entries are lines or
// paragraphs that follow one another.
type listing struct {
	file      string
	separator string // of the entries
	// begin is how an entry begins. NAME is its service, MODULE the path of the module.
	begin string
}

// The files of the listings.
const (
	compose       = "docker-compose.yml"
	stackServices = "e2e/stack/services.go"
)

// listings are the parts of the shared files that a new service is added to, apart from the trust
// file of Census and the README.
var listings = []listing{
	{compose, "\n\n", "x-NAME: &NAME\n"},
	{compose, "\n\n", "  NAME-migrate:\n"},
	{compose, "\n\n", "  NAME:\n    <<:"},
	{compose, "\n", "      - NAME:/material/NAME"},
	{compose, "\n", "      create role NAME login"},
	{compose, "\n", "      create database NAME owner"},
	{compose, "\n", "  NAME: {}"},
	{stackServices, "\n", "\t\t{Name: \"NAME\""},
	{".golangci.yml", "\n", "            - { pkg: MODULE/NAME/internal/postgres, "},
}

// entryOf returns the regular expression of the entries of the services whose names match another
// regular expression.
func (l listing) entryOf(names, module string) *regexp.Regexp {
	begin := strings.NewReplacer("NAME", names, "MODULE", regexp.QuoteMeta(module)).Replace(regexp.QuoteMeta(l.begin))
	return regexp.MustCompile(`^` + begin)
}

// add adds a service: wherever the text has an entry of the model, a copy of it comes after the
// entries that follow. ok is false if the text has none.
func (l listing) add(text, name, module string) (edited string, ok bool) {
	ofModel, ofAny := l.entryOf(model, module), l.entryOf("[a-z0-9-]+", module)
	entries := strings.Split(text, l.separator)
	for i := 0; i < len(entries); i++ {
		if !ofModel.MatchString(entries[i]) {
			continue
		}
		added := withPort(renameWord(entries[i], model, name), hostPort, nextPort(hostPort, text))
		for i++; i < len(entries) && ofAny.MatchString(entries[i]); {
			i++
		}
		entries, ok = slices.Insert(entries, i, added), true
	}
	return strings.Join(entries, l.separator), ok
}

// remove removes the entries of a service.
func (l listing) remove(text, name, module string) string {
	entries := slices.DeleteFunc(strings.Split(text, l.separator), l.entryOf(name, module).MatchString)
	return strings.Join(entries, l.separator)
}
