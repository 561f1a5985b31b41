package testenv

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// Server is a server of one test's own, which may do it harm. It keeps its addresses and its data until the test ends.
// Its methods are for one goroutine at a time.
type Server struct {
	container testcontainers.Container
	docker    *testcontainers.DockerClient
}

// ServerOption adjusts a server of one test's own.
type ServerOption struct{ apply func(*kind) }

// Args adds arguments to the server's command line.
func Args(args ...string) ServerOption {
	return ServerOption{func(k *kind) { k.command = append(k.command, args...) }}
}

// Env sets a variable in the server's environment.
func Env(name, value string) ServerOption {
	return ServerOption{func(k *kind) { k.env[name] = value }}
}

// SmallDisk gives the server a disk of that many megabytes at the path, which anyone may write to and which is empty after a start.
func SmallDisk(path string, megabytes int) ServerOption {
	return ServerOption{func(k *kind) { k.disks = map[string]string{path: fmt.Sprintf("size=%dm,mode=1777", megabytes)} }}
}

// stopTime is how long a server may take to end by itself before it is killed.
const stopTime = 30 * time.Second

// Kill ends the server at once, as a crash does: it writes nothing more and says goodbye to nobody.
func (s *Server) Kill(ctx context.Context) error {
	id := s.container.GetContainerID()
	if _, err := s.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return err
	}
	ended := s.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-ended.Result:
		return nil
	case err := <-ended.Error:
		return err
	}
}

// Stop asks the server to end, and returns when it has.
func (s *Server) Stop(ctx context.Context) error {
	d := stopTime
	return s.container.Stop(ctx, &d)
}

// Start starts the server after [Server.Kill] or [Server.Stop], and returns when it is ready.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return s.container.Start(ctx)
}

// Restart stops the server and starts it again.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Pause freezes the server: its connections stay open and nothing answers.
func (s *Server) Pause(ctx context.Context) (err error) {
	// On a busy machine the runtime now and then cannot freeze all processes at the same time, thaws them and gives up.
	for range 10 {
		_, err = s.docker.ContainerPause(ctx, s.container.GetContainerID(), client.ContainerPauseOptions{})
		if err == nil || !strings.Contains(err.Error(), "unable to freeze") {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// Resume lets it go on after [Server.Pause].
func (s *Server) Resume(ctx context.Context) error {
	_, err := s.docker.ContainerUnpause(ctx, s.container.GetContainerID(), client.ContainerUnpauseOptions{})
	return err
}
