//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the server, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "alpes-server-")
	if err == nil {
		binary, err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the server:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// build builds the server, with the race detector if the test has it.
func build(dir string) (string, error) {
	path := filepath.Join(dir, "server")
	args := []string{"build", "-o", path}
	if raced() {
		args = append(args, "-race")
	}
	out, err := exec.CommandContext(context.Background(), "go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// raced reports whether the race detector is in this program.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// patience bounds every wait for a process; none is meant to take as long.
const patience = 60 * time.Second

// process is a server that runs, or ran, on its own.
type process struct {
	cmd            *exec.Cmd
	began          time.Time
	stdout, stderr *output
	exited         chan struct{}
	err            error // after exited
}

// start runs the server in dir with no settings but those given; env are more "NAME=value".
func start(t testing.TB, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{began: time.Now(), stdout: newOutput(), stderr: newOutput(), exited: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), isSetting), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
		p.stdout.close()
		p.stderr.close()
	}()
	t.Cleanup(func() {
		p.kill()
		if errs := p.stderr.String(); strings.Contains(errs, "DATA RACE") || strings.Contains(errs, "panic") {
			t.Errorf("the server %v wrote:\n%s", args, errs)
		}
	})
	return p
}

// isSetting tells what the environment of the tests must not change.
func isSetting(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "ALPES_") || strings.HasSuffix(name, "_HOST") || name == "DATABASE_URL"
}

// finish runs the server to its end and returns its exit code.
func finish(t testing.TB, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, dir, nil, args...)
	code = p.wait(t)
	return code, p.stdout.String(), p.stderr.String()
}

// kill ends the process without a word of warning, as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be over already
	<-p.exited
}

// terminate asks the process to stop and returns its exit code.
func (p *process) terminate(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal("SIGTERM:", err)
	}
	return p.wait(t)
}

func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // with all stacks
		<-p.exited
		t.Fatalf("the server did not end within %v:\n%s", patience, p.stderr)
	}
	var failed *exec.ExitError
	if p.err != nil && !errors.As(p.err, &failed) {
		t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// url returns where the welcome text says that a service is.
func (p *process) url(t testing.TB, service string) string {
	t.Helper()
	found := p.stdout.await(regexp.MustCompile(`(?m)^ +` + service + ` +(http://\S+)$`))
	if found == nil {
		t.Fatalf("the server ended without saying where %s is: %v\n%s", service, p.err, p.stderr)
	}
	return found[1]
}

// output collects what a process writes and tells who waits for it.
type output struct {
	mu     sync.Mutex
	text   bytes.Buffer
	grown  chan struct{} // closed and replaced with every write
	closed bool
}

func newOutput() *output { return &output{grown: make(chan struct{})} }

var _ io.Writer = (*output)(nil)

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	close(o.grown)
}

// String returns what was written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the pattern is in the output and returns its groups; nil if the process ended without.
func (o *output) await(pattern *regexp.Regexp) []string {
	for {
		o.mu.Lock()
		found, closed, grown := pattern.FindStringSubmatch(o.text.String()), o.closed, o.grown
		o.mu.Unlock()
		if found != nil || closed {
			return found
		}
		<-grown
	}
}
