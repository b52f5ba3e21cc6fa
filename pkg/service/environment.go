package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caarlos0/env/v11"
)

// environment is the variables that a command reads, and the faults in them.
type environment struct {
	command      *Command
	prefix       string
	values       map[string]string
	faults       []error // values that are missing or cannot be read
	secretFaults []error // secrets that are set twice or whose file cannot be read
}

func newEnvironment(d *Definition, c *Command, environ []string) *environment {
	return &environment{command: c, prefix: d.Variable(""), values: env.ToMap(environ)}
}

// parse reads a struct of settings. It ignores faults in variables that the command does not read.
func (e *environment) parse(settings any) {
	e.readSecrets(settings)
	err := env.ParseWithOptions(settings, env.Options{Environment: e.values, Prefix: e.prefix})
	several, ok := errors.AsType[env.AggregateError](err)
	if !ok && err != nil {
		several.Errors = []error{err}
	}
	for _, err := range several.Errors {
		name, err := e.locate(settings, err)
		if name == "" {
			e.faults = append(e.faults, err)
		} else if e.command.reads(name) {
			e.faults = append(e.faults, fmt.Errorf("%s%s: %w", e.prefix, name, err))
		}
	}
}

// locate returns the variable of an error of package env, without the prefix, and what is wrong. It
// leaves out the value, which can be a secret.
func (e *environment) locate(settings any, err error) (variable string, _ error) {
	if empty, ok := errors.AsType[env.EmptyVarError](err); ok {
		return strings.TrimPrefix(empty.Key, e.prefix), errors.New("not set")
	}
	if parse, ok := errors.AsType[env.ParseError](err); ok {
		for _, f := range fields(settings) {
			if f.field != parse.Name {
				continue
			}
			if fault, ok := errors.AsType[valueError](parse.Err); ok {
				return f.variable, fault
			}
			return f.variable, fmt.Errorf("cannot be read as %s", parse.Type)
		}
	}
	return "", err
}

// readSecrets sets the variable NAME of each secret for which there is a NAME_FILE.
func (e *environment) readSecrets(settings any) {
	for _, f := range fields(settings) {
		if !f.secret || !e.command.reads(f.variable) {
			continue
		}
		name := e.prefix + f.variable
		value, err := readSecret(name, e.values[name], e.values[name+"_FILE"])
		if err != nil {
			e.secretFaults = append(e.secretFaults, err)
			value = string(Unreadable)
		}
		e.values[name] = value
	}
}

// readSecret returns the value of a secret, or the content of its file. Both together are an error,
// and so is a file that cannot be read. The error repeats the file's name only when that cannot be
// the secret.
func readSecret(name, value, file string) (string, error) {
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s: set, and %s_FILE too", name, name)
	}
	content, err := os.ReadFile(file)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok && !isPath(file) {
		return "", fmt.Errorf("%s_FILE: must be the name of a file, and that cannot be read: %w", name, pathErr.Err)
	}
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimSpace(string(content)), nil
}

// isPath reports whether a text is the name of a file and cannot be a secret or a connection
// string.
func isPath(file string) bool {
	return filepath.IsAbs(file) && !strings.ContainsAny(file, "=:@?& \t\r\n")
}
