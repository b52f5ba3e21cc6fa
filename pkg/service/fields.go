package service

import (
	"fmt"
	"reflect"
	"strings"
)

// setting describes a field of a struct of settings by its tags, see [Settings].
type setting struct {
	field, variable  string // variable has no prefix
	help, preset     string // preset is the default
	required, secret bool
	commands         []string // that read it; only in the documentation
}

// fields returns the settings of a pointer to a struct. Nil has none.
func fields(settings any) (all []setting) {
	if settings == nil {
		return nil
	}
	for f, value := range reflect.ValueOf(settings).Elem().Fields() {
		variable, options, _ := strings.Cut(f.Tag.Get("env"), ",")
		if variable == "" {
			continue
		}
		preset := f.Tag.Get("envDefault")
		if preset == "" && !value.IsZero() {
			preset = fmt.Sprint(value)
		}
		all = append(all, setting{
			field: f.Name, variable: variable, help: f.Tag.Get("help"), preset: preset,
			required: options == "notEmpty", secret: f.Type == reflect.TypeFor[Secret](),
		})
	}
	return all
}
