package pgtest

import "context"

// ProgramsInstalled says why the machine's own programs cannot be used, or nil.
func ProgramsInstalled(ctx context.Context) error {
	_, _, err := findPrograms(ctx, func(string, ...any) {})
	return err
}
