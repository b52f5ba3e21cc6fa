package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const image = "postgres:17-trixie"

// Each step towards a container has a deadline of its own, so that a Docker
// which is absent, broken or offline delays the search by little.
const (
	reachTimeout = 1900 * time.Millisecond
	pullTimeout  = 20 * time.Second
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// startContainer runs the PostgreSQL image by testcontainers.
func startContainer(ctx context.Context, logf func(string, ...any)) (*Server, error) {
	configureTestcontainers()
	docker, err := reachDocker(ctx)
	if err != nil {
		return nil, errors.New("not reachable")
	}
	defer docker.Close()
	if err := ensureImage(ctx, docker.Client(), logf); err != nil {
		return nil, err
	}
	password := rand.Text()
	container, err := runContainer(ctx, password)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", image, err), terminate(container))
	}
	databaseURL, err := reachContainer(ctx, docker, container, password)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to %s: %w", image, err), terminate(container))
	}
	logf("PostgreSQL: Docker, %s", image)
	return &Server{URL: databaseURL, stop: func() error { return terminate(container) }}, nil
}

// configureTestcontainers must come before any other use of the library, which
// reads its environment once. Ryuk, its container that removes others after a
// crash, is left out unless asked for: it is a second image to pull, and Stop
// removes the container without it.
func configureTestcontainers() {
	tclog.SetDefault(tclog.NewNoopLogger())
	if os.Getenv(ryukVariable) == "" {
		os.Setenv(ryukVariable, "true")
	}
}

const ryukVariable = "TESTCONTAINERS_RYUK_DISABLED"

// reachDocker gives up after reachTimeout even though testcontainers, looking
// for Docker, heeds no context and now and then panics.
func reachDocker(ctx context.Context) (*testcontainers.DockerProvider, error) {
	type result struct {
		docker *testcontainers.DockerProvider
		err    error
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	found := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if cause := recover(); cause != nil {
				r.err = fmt.Errorf("looking for Docker: %v", cause)
			}
			found <- r
		}()
		r.docker, r.err = dockerProvider(ctx)
	}()
	select {
	case r := <-found:
		return r.docker, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func dockerProvider(ctx context.Context) (*testcontainers.DockerProvider, error) {
	docker, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, err
	}
	// testcontainers goes on to look elsewhere; who set the variable meant it.
	if want := os.Getenv(client.EnvOverrideHost); want != "" && want != docker.Client().DaemonHost() {
		return nil, fmt.Errorf("%s does not answer", want)
	}
	return docker, docker.Health(ctx)
}

// ensureImage pulls the image unless the engine has it. Unlike testcontainers,
// it does not try again what failed at once.
func ensureImage(ctx context.Context, docker client.APIClient, logf func(string, ...any)) error {
	lookup, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if _, err := docker.ImageInspect(lookup, image); err == nil {
		return nil
	} else if !errdefs.IsNotFound(err) {
		return fmt.Errorf("looking up %s: %w", image, err)
	}
	logf("Docker: pulling %s", image)
	ctx, cancel = context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	pull, err := docker.ImagePull(ctx, image, client.ImagePullOptions{})
	if err == nil {
		err = pull.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("no image %s, pulling it: %w", image, err)
	}
	return nil
}

func runContainer(ctx context.Context, password string) (*postgres.PostgresContainer, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options := []testcontainers.ContainerCustomizer{
		postgres.WithUsername("postgres"),
		postgres.WithPassword(password),
		testcontainers.WithCmd(append([]string{"postgres"}, flags(settings())...)...),
	}
	if !durable() {
		// In memory, as the data is thrown away: a disk behind several layers is what takes long.
		options = append(options, testcontainers.WithTmpfs(map[string]string{"/var/lib/postgresql/data": "rw"}))
	}
	return postgres.Run(ctx, image, options...)
}

// reachContainer tries the addresses at which the container's port may be found
// until one answers. Where we run in a container ourselves, testcontainers
// names Docker's gateway, which is wrong if Docker runs in there with us.
func reachContainer(ctx context.Context, docker *testcontainers.DockerProvider, container *postgres.PostgresContainer, password string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	port, err := container.MappedPort(ctx, "5432/tcp")
	if err != nil {
		return "", fmt.Errorf("asking for the port: %w", err)
	}
	host, err := docker.DaemonHost(ctx)
	if err != nil {
		return "", fmt.Errorf("asking for the host: %w", err)
	}
	urls := []string{serverURL(host, int(port.Num()), password)}
	if host != "localhost" {
		urls = append(urls, serverURL("127.0.0.1", int(port.Num()), password))
	}
	return ready(ctx, nil, urls...)
}

// terminate removes the container, if there is one, and its data.
func terminate(container *postgres.PostgresContainer) error {
	if container == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	// The data is thrown away: there is nothing for the server to finish.
	if err := container.Terminate(ctx, testcontainers.StopTimeout(0)); err != nil {
		return fmt.Errorf("removing container: %w", err)
	}
	return nil
}
