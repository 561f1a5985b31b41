package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks is how many of the kernel's units of CPU time, as /proc tells it, a second has; it is 100 on every Linux that Go runs on.
const ticks = 100

// usage is CPU time that was used up to a moment.
type usage struct {
	self, server, machine time.Duration
	at                    time.Time
}

// read returns the CPU time of this process, of the server's processes, and of the whole machine.
func readUsage(server *postgres) (usage, error) {
	u := usage{at: time.Now()}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return u, err
	}
	u.self = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	u.server = server.cpu()
	u.machine = machineTime()
	return u, nil
}

// machineTime is the time in which any CPU was busy; zero where /proc is not there.
func machineTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var busy int64
	for i, field := range strings.Fields(string(line)) {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && i != 4 && i != 5 && i < 9 { // not idle, not waiting for a disk
			busy += n
		}
	}
	return time.Duration(busy) * time.Second / ticks
}

// processTime is the CPU time of a process and its children, those that ended included.
func processTime(pid int) time.Duration {
	var sum int64
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, path := range stats {
		text, err := os.ReadFile(path) //nolint:gosec // of /proc
		if err != nil {
			continue // it ended meanwhile
		}
		// The name in brackets may hold anything; what follows is numbers.
		_, rest, _ := bytes.Cut(text, []byte(") "))
		fields := strings.Fields(string(rest))
		own := filepath.Base(filepath.Dir(path)) == strconv.Itoa(pid)
		if len(fields) < 15 || !own && fields[1] != strconv.Itoa(pid) {
			continue
		}
		counted := fields[11:13]
		if own {
			counted = fields[11:15] // with the children that ended
		}
		for _, field := range counted {
			if n, err := strconv.ParseInt(field, 10, 64); err == nil {
				sum += n
			}
		}
	}
	return time.Duration(sum) * time.Second / ticks
}
