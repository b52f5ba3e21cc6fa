package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/caarlos0/env/v11"
)

// A Completer of type *T checks settings of type T that were read, and fills in what follows from them. Each of its errors
// begins with the name of the variable at fault.
type Completer[T any] interface {
	*T
	Complete() []error
}

// Settings reads settings from an environment, by the tags of package caarlos0/env. All that is wrong with them is one
// [Misuse], a line each, which begins with the variable's name.
func Settings[T any, P Completer[T]](environ []string) (T, error) {
	read, err := env.ParseAsWithOptions[T](env.Options{Environment: env.ToMap(environ)})
	var errs []error
	if several, ok := errors.AsType[env.AggregateError](err); ok {
		for _, err := range several.Errors {
			errs = append(errs, nameVariable(err))
		}
	} else if err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, P(&read).Complete()...)
	return read, Misuse(errors.Join(errs...))
}

func nameVariable(err error) error {
	if empty, ok := errors.AsType[env.EmptyVarError](err); ok {
		return fmt.Errorf("%s: not set", empty.Key)
	}
	return err
}

// Secret returns a secret setting, which is the value of the variable name or, where name_FILE is set, what is in that file
// without the space around it. Both, or a file that cannot be read, are an error that names the variable.
func Secret(name, value, file string) (string, error) {
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s: set, and %s_FILE too", name, name)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(content)), nil
}
