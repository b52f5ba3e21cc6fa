package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/micromachine/e2e/stack"
)

// composeMail is where the compose file publishes the mail server on the host.
const composeMail = "http://127.0.0.1:8025"

// compose is the running compose project of this checkout.
type compose struct {
	keys     string           // the directory of the callers' keys, copied from their volume
	services []*stack.Service // with the addresses at which the host reaches them
}

func newCompose(ctx context.Context, dir string) (system, error) {
	c := compose{keys: filepath.Join(dir, "callers"), services: stack.Services()}
	if _, err := docker(ctx, "compose", "cp", "setup:/material/callers", c.keys); err != nil {
		return nil, err
	}
	for _, service := range c.services {
		addr, err := docker(ctx, "compose", "port", service.Name, "443")
		if err != nil {
			return nil, err
		}
		service.Addr = addr
	}
	return c, nil
}

// docker runs docker in the directory of the compose file and returns its output.
func docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func (c compose) callers(herald string) (another, shop, office *stack.Caller, err error) {
	services := c.services
	if herald != "" {
		services = append([]*stack.Service{{URL: stack.HeraldURL, Addr: herald}}, services...)
	}
	return stack.NewCallers(c.keys, stack.ConnectTo(services))
}

func (c compose) heraldAddr() string {
	isHerald := func(service *stack.Service) bool { return service.URL == stack.HeraldURL }
	return c.services[slices.IndexFunc(c.services, isHerald)].Addr
}

func (c compose) stop(ctx context.Context, service string) error {
	_, err := docker(ctx, "compose", "stop", service)
	return err
}

func (c compose) kill(ctx context.Context, service string) error {
	_, err := docker(ctx, "compose", "kill", "-s", "SIGKILL", service)
	return err
}

func (c compose) start(ctx context.Context, service string) error {
	_, err := docker(ctx, "compose", "up", "--no-deps", "--no-recreate", "--wait", service)
	return err
}

func (c compose) rotate(ctx context.Context, service string, flags ...string) error {
	args := append([]string{"compose", "run", "--rm", "-T", "rotate"}, flags...)
	_, err := docker(ctx, append(args, "/material/"+service+"/keys")...)
	return err
}

func (c compose) log(ctx context.Context, service string) (string, error) {
	return docker(ctx, "compose", "logs", "--no-color", "--no-log-prefix", service)
}

func (c compose) secondHerald(ctx context.Context) (string, func() error, error) {
	name := fmt.Sprintf("herald-second-%d", os.Getpid())
	_, err := docker(ctx, "compose", "run", "--detach", "--no-deps", "--name", name, "--publish", "127.0.0.1::443",
		"herald")
	if err != nil {
		return "", nil, err
	}
	remove := func() error {
		_, err := docker(context.Background(), "rm", "--force", name)
		return err
	}
	addr, err := docker(ctx, "port", name, "443/tcp")
	if err == nil {
		err = awaitHealthy(ctx, name)
	}
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return addr, func() error {
		if _, err := docker(context.Background(), "stop", name); err != nil {
			return err
		}
		return remove()
	}, nil
}

func awaitHealthy(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		health, err := docker(ctx, "inspect", "--format", "{{.State.Health.Status}}", container)
		if err != nil || health == "healthy" {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// mails searches for mails with Mailpit's API.
func (c compose) mails(ctx context.Context, messageID string) ([]string, error) {
	found, err := get(ctx, composeMail+"/api/v1/search?query="+url.QueryEscape("message-id:"+messageID))
	if err != nil {
		return nil, err
	}
	var list struct {
		Messages []struct{ ID string }
	}
	if err := json.Unmarshal(found, &list); err != nil {
		return nil, fmt.Errorf("reading the list of mails: %w", err)
	}
	var mails []string
	for _, m := range list.Messages {
		raw, err := get(ctx, composeMail+"/api/v1/message/"+m.ID+"/raw")
		if err != nil {
			return nil, err
		}
		mails = append(mails, string(raw))
	}
	return mails, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return io.ReadAll(res.Body)
}

// close leaves the project running.
func (c compose) close() error { return nil }
