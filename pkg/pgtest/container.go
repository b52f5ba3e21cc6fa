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

// Each step has a short time limit, so that a missing, broken or offline Docker delays the search
// only a little.
const (
	reachTimeout = 1900 * time.Millisecond
	pullTimeout  = 20 * time.Second
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// startContainer runs the PostgreSQL image with testcontainers.
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

// configureTestcontainers sets the library's environment. It must be called before any other use of
// the library, which reads its environment once. It disables Ryuk, the container that removes
// others after a crash, unless the environment says otherwise: Ryuk is a second image to pull, and
// Stop removes the container without it.
func configureTestcontainers() {
	tclog.SetDefault(tclog.NewNoopLogger())
	if os.Getenv(ryukVariable) == "" {
		os.Setenv(ryukVariable, "true")
	}
}

const ryukVariable = "TESTCONTAINERS_RYUK_DISABLED"

// reachDocker connects to Docker. It returns after reachTimeout even though testcontainers ignores
// contexts in its search for Docker. It recovers from panics of testcontainers.
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
	// If DOCKER_HOST does not respond, testcontainers uses another Docker. The variable is
	// explicit, so this is an error here.
	if want := os.Getenv(client.EnvOverrideHost); want != "" && want != docker.Client().DaemonHost() {
		return nil, fmt.Errorf("%s does not answer", want)
	}
	return docker, docker.Health(ctx)
}

// ensureImage pulls the image unless Docker has it. Unlike testcontainers, it does not retry after
// an error.
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
		// The data is in memory, because it is temporary and a container's file system is slow.
		options = append(options, testcontainers.WithTmpfs(map[string]string{"/var/lib/postgresql/data": "rw"}))
	}
	return postgres.Run(ctx, image, options...)
}

// reachContainer returns the first address of the container's port that accepts connections. If
// this process runs in a container, testcontainers returns the address of Docker's gateway, which
// is wrong when Docker runs in the same container.
func reachContainer(
	ctx context.Context, docker *testcontainers.DockerProvider, container *postgres.PostgresContainer, password string,
) (string, error) {
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

// terminate removes the container, if any, and its data.
func terminate(container *postgres.PostgresContainer) error {
	if container == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	// The data is temporary, so the server need not shut down in an orderly way.
	if err := container.Terminate(ctx, testcontainers.StopTimeout(0)); err != nil {
		return fmt.Errorf("removing container: %w", err)
	}
	return nil
}
