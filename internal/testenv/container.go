package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

// kind is what a product needs to run as a container. It is made anew for each use, as the module has no package variables.
type kind struct {
	name      string // for people
	short     string // in the container's name
	otherwise string // what to do where there is no Docker
	image     string
	imageVar  string // the variable that names another image
	ports     []string
	env       map[string]string
	command   []string
	disks     map[string]string // small disks in memory, by their paths
	ready     wait.Strategy
}

// shared returns the addresses of the container that all tests of a run use, for each port of k, and starts it if this is the
// first test that asks. It ends the test where there is no Docker.
func shared(tb testing.TB, k kind) []string {
	tb.Helper()
	requireDocker(tb, k)
	request := k.request()
	// All packages of one "go test" are one session. Docker itself sees to it that a name is there once.
	request.Name = "testenv-" + k.short + "-" + testcontainers.SessionID()
	request.Reuse = true
	_, addresses := start(tb, k, request)
	return addresses
}

// own returns a container of this test alone, with the addresses of its ports. It ends the test where there is no Docker.
func own(tb testing.TB, k kind) (*Server, []string) {
	tb.Helper()
	requireDocker(tb, k)
	// Docker gives a container that it starts again other ports, so they are chosen here.
	fixed := network.PortMap{}
	for _, port := range k.ports {
		fixed[network.MustParsePort(port)] = []network.PortBinding{{HostPort: freePort(tb)}}
	}
	request := k.request()
	request.HostConfigModifier = func(c *container.HostConfig) { c.PortBindings, c.Tmpfs = fixed, k.disks }
	c, addresses := start(tb, k, request)
	docker, err := testcontainers.NewDockerClientWithOpts(tb.Context())
	if err != nil {
		tb.Fatalf("testenv: Docker's client: %v", err)
	}
	cleanup(tb, "close Docker's client", func(context.Context) error { return docker.Close() })
	return &Server{container: c, docker: docker}, addresses
}

// requireDocker ends the test where no Docker answers.
func requireDocker(tb testing.TB, k kind) {
	tb.Helper()
	provider, err := testcontainers.ProviderDefault.GetProvider(testcontainers.WithLogger(log.NewNoopLogger()))
	if err == nil {
		err = errors.Join(provider.Health(tb.Context()), provider.Close())
	}
	if err != nil {
		missing(tb, k, fmt.Errorf("no Docker: %s", strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
}

func (k kind) request() testcontainers.GenericContainerRequest {
	return testcontainers.GenericContainerRequest{
		ContainerRequest: testcontainers.ContainerRequest{
			Image:        cmp.Or(os.Getenv(k.imageVar), k.image),
			ExposedPorts: k.ports,
			Env:          k.env,
			Cmd:          k.command,
			WaitingFor:   k.ready,
		},
		Started: true,
		Logger:  log.NewNoopLogger(),
	}
}

func start(tb testing.TB, k kind, request testcontainers.GenericContainerRequest) (testcontainers.Container, []string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTime)
	defer cancel()
	c, err := testcontainers.GenericContainer(ctx, request)
	if !request.Reuse {
		cleanup(tb, "remove the container of "+k.name, func(ctx context.Context) error {
			return testcontainers.TerminateContainer(c, testcontainers.StopContext(ctx), testcontainers.StopTimeout(0))
		})
	}
	if err != nil {
		tb.Fatalf("testenv: start %s from %s: %v\n%s", k.name, request.Image, err, lastWords(ctx, c))
	}
	host, err := c.Host(ctx)
	if err != nil {
		tb.Fatalf("testenv: the host of %s: %v", k.name, err)
	}
	addresses := make([]string, len(k.ports))
	for i, port := range k.ports {
		mapped, err := c.MappedPort(ctx, port)
		if err != nil {
			tb.Fatalf("testenv: port %s of %s: %v", port, k.name, err)
		}
		addresses[i] = net.JoinHostPort(host, mapped.Port())
	}
	return c, addresses
}

// lastWords returns the end of the log of a container that did not start, if there is one.
func lastWords(ctx context.Context, c testcontainers.Container) string {
	const most = 2 << 10
	if c == nil {
		return ""
	}
	logs, err := c.Logs(context.WithoutCancel(ctx)) // which may be what ended it
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(logs)
	if err := errors.Join(err, logs.Close()); err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// freePort returns a port that nobody listens on now.
func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", ":0")
	if err != nil {
		tb.Fatalf("testenv: find a free port: %v", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		tb.Fatalf("testenv: find a free port: %v", err)
	}
	return port
}
