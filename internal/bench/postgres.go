package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/alpespartners/alpespartners/internal/sqldb"
)

// errNotInstalled says that there are no programs to start a PostgreSQL from.
var errNotInstalled = errors.New("PostgreSQL's programs are not installed, and -postgres names no server")

// postgres is a server of this program alone.
type postgres struct {
	url     string
	dir     string
	process *exec.Cmd
}

// startPostgres makes a cluster in dir and starts a server on it, durable as by default.
func startPostgres(ctx context.Context, dir string, statements bool) (*postgres, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	p := &postgres{}
	if p.dir, err = os.MkdirTemp(dir, "bench-postgres-"); err != nil {
		return nil, err
	}
	identity, err := unprivileged(p.dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--no-sync", "--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C", data) //nolint:gosec // found above
	initdb.SysProcAttr, initdb.Dir = identity, p.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(p.dir))
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	arguments := []string{
		"-D", data, "-p", strconv.Itoa(port), "-k", "", "-h", "127.0.0.1",
		"-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", "fsync=on", "-c", "synchronous_commit=on",
	}
	if statements {
		arguments = append(arguments, "-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track_utility=on")
	}
	p.process = exec.Command(filepath.Join(bin, "postgres"), arguments...) //nolint:gosec,noctx // it is stopped by a signal of its own
	p.process.SysProcAttr, p.process.Dir = identity, p.dir
	if err := p.process.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	p.url = fmt.Sprintf("postgres://bench@127.0.0.1:%d/postgres?sslmode=disable", port)
	if err := p.await(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// programs returns the directory of the newest installed server.
func programs() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return "", errNotInstalled
	}
	return slices.Max(found), nil
}

// unprivileged gives dir to the user postgres where this program runs as root, which the server refuses to.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return attributes, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, os.Chown(dir, int(uid), int(gid))
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(errors.New("no TCP address"), l.Close())
	}
	return address.Port, l.Close()
}

// await waits until the server answers.
func (p *postgres) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		db, err := sqldb.Open(ctx, p.url)
		if err == nil {
			return db.Close()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// cpu is the CPU time of the server's processes; zero where the server is none of ours.
func (p *postgres) cpu() time.Duration {
	if p == nil {
		return 0
	}
	return processTime(p.process.Process.Pid)
}

// stop ends the server and removes its data.
func (p *postgres) stop() {
	if err := p.process.Process.Signal(syscall.SIGINT); err == nil { // a fast shutdown
		_ = p.process.Wait()
	}
	_ = os.RemoveAll(p.dir)
}
