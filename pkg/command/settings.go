package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// nameVariable says what is wrong without the value, which may be a secret.
func nameVariable(err error) error {
	if empty, ok := errors.AsType[env.EmptyVarError](err); ok {
		return fmt.Errorf("%s: not set", empty.Key)
	}
	if parse, ok := errors.AsType[env.ParseError](err); ok {
		return fmt.Errorf("setting %s: cannot be read as %s", parse.Name, parse.Type)
	}
	return err
}

// Secret returns a secret setting, which is the value of the variable name or, where name_FILE is set, what is in that file
// without the space around it. Both, or a file that cannot be read, are an error that names the variable. It names the
// file if that is plainly one, and not the secret itself.
func Secret(name, value, file string) (string, error) {
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s: set, and %s_FILE too", name, name)
	}
	content, err := os.ReadFile(file)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok && !plainlyPath(file) {
		return "", fmt.Errorf("%s_FILE: must be the name of a file, and that cannot be read: %w", name, pathErr.Err)
	}
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(content)), nil
}

func plainlyPath(file string) bool {
	return filepath.IsAbs(file) && !strings.ContainsAny(file, "=:@?& \t\r\n")
}

// FileName returns an error when the value of the variable name, which should be the name of a file, is the content of
// one: a key or a certificate. The error does not repeat it.
func FileName(name, value string) error {
	if strings.ContainsAny(value, "\r\n") || strings.Contains(value, "-----BEGIN") {
		return fmt.Errorf("%s: must be the name of a file, and not what is in it", name)
	}
	return nil
}
