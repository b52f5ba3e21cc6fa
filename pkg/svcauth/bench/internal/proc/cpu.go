package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat, on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// ErrNoServer says that a PostgreSQL server's processes are not among those in /proc.
var ErrNoServer = errors.New("the processes of the PostgreSQL server are not visible in /proc")

// The fields of /proc/PID/stat after the command's name, by proc(5), which counts from 3 there.
const (
	fieldParent   = 4 - 3
	fieldUserTime = 14 - 3
	timeFields    = 4 // utime, stime, and both of the children that were waited for
	leastFields   = fieldUserTime + timeFields
)

// A stat is what /proc/PID/stat says of a process.
type stat struct {
	parent        int
	own, children time.Duration // CPU time
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:])) // the name may contain spaces
	if len(fields) < leastFields {
		return stat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var times [timeFields]time.Duration
	for i := range times {
		ticks, err := strconv.ParseInt(fields[fieldUserTime+i], 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		times[i] = time.Duration(ticks) * tick
	}
	parent, err := strconv.Atoi(fields[fieldParent])
	if err != nil {
		return stat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return stat{parent: parent, own: times[0] + times[1], children: times[2] + times[3]}, nil
}

// CPU returns the CPU time of a process, with that of the children that it has waited for.
func CPU(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	return s.own + s.children, err
}

// Postmaster returns the parent process of a PostgreSQL server by one of its connections, whose process shows the name
// of its database. It works for a server in a container too, whose own process IDs differ from those seen here.
func Postmaster(database string) (int, error) {
	pids, err := all()
	if err != nil {
		return 0, errors.Join(ErrNoServer, err)
	}
	for _, pid := range pids {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.HasPrefix(title, []byte("postgres: ")) {
			continue
		}
		if !slices.Contains(strings.Fields(string(bytes.Trim(title, "\x00"))), database) {
			continue
		}
		if s, err := readStat(pid); err == nil {
			return s.parent, nil
		}
	}
	return 0, ErrNoServer
}

// TreeCPU returns the CPU time of a process and of all its children, those that have ended included.
func TreeCPU(parent int) (time.Duration, error) {
	total, err := CPU(parent)
	if err != nil {
		return 0, err
	}
	pids, err := all()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		s, err := readStat(pid)
		if err == nil && s.parent == parent { // a process may end while we look
			total += s.own + s.children
		}
	}
	return total, nil
}

func all() ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(paths))
	for _, path := range paths {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
