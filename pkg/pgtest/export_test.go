package pgtest

import "context"

// ProgramsInstalled returns an error when the installed PostgreSQL programs cannot be used.
func ProgramsInstalled(ctx context.Context) error {
	_, _, err := findPrograms(ctx, func(string, ...any) {})
	return err
}
