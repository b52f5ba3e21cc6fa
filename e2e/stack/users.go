package stack

import (
	"context"
	"fmt"
	"net/http"

	"example.com/micromachine/pkg/svcauth"
)

// A User is one of the story's users.
type User struct {
	ID          int
	Name, Email string
}

// The users of the story. Reader may see CensusUser. Stranger may see only itself.
var (
	Reader     = User{21, "Another User", "another.user@example.com"}
	CensusUser = User{42, "Census User", "census.user@example.com"}
	Stranger   = User{63, "A Stranger", "stranger@example.com"}
)

// URI returns the user's URI at Census.
func (u User) URI() string { return fmt.Sprintf("%suser/%d/", CensusURL, u.ID) }

// Subject returns the user as the subject of a token.
func (u User) Subject() svcauth.Subject { return svcauth.Subject(u.URI()) }

// AddUsers adds the users of the story with the program census, whose settings are in env. Through
// office it grants Reader the right to see CensusUser. It keeps existing users.
func AddUsers(ctx context.Context, census string, env []string, office *Caller) error {
	for _, u := range []User{Reader, CensusUser, Stranger} {
		res, err := office.Call(ctx, http.MethodGet, u.URI(), "", u.Subject())
		if err != nil {
			return fmt.Errorf("looking for user %d: %w", u.ID, err)
		}
		if res.Status == http.StatusOK {
			continue
		}
		err = runEnv(ctx, env, census, "user", "add", "--id", fmt.Sprint(u.ID), "--name", u.Name, "--email", u.Email)
		if err != nil {
			return err
		}
	}
	grant := fmt.Sprintf("%sviewer/%d/", CensusUser.URI(), Reader.ID)
	res, err := office.Call(ctx, http.MethodPut, grant, "", CensusUser.Subject())
	if err != nil {
		return fmt.Errorf("granting: %w", err)
	}
	if res.Status != http.StatusNoContent {
		return fmt.Errorf("granting: status %d: %s", res.Status, res.Body)
	}
	return nil
}
