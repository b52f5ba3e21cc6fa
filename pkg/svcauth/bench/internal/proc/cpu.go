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

// tick is the unit of the times in /proc/PID/stat on all architectures of Go.
const tick = 10 * time.Millisecond

// ErrNoServer says that /proc does not show the processes of a PostgreSQL server.
var ErrNoServer = errors.New("the processes of the PostgreSQL server are not visible in /proc")

// The indexes of the fields of /proc/PID/stat after the command's name. proc(5) gives the first of
// them the number 3.
const (
	fieldParent   = 4 - 3
	fieldUserTime = 14 - 3
	timeFields    = 4 // utime, stime, cutime, cstime
	minFields     = fieldUserTime + timeFields
)

// A stat has some fields of /proc/PID/stat.
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
	if len(fields) < minFields {
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

// CPU returns the CPU time of a process, including that of the children that it has waited for.
func CPU(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	return s.own + s.children, err
}

// Postmaster returns the ID of the parent process of a PostgreSQL server. It finds it through a
// connection, whose process has the name of the database in its title. It also works for a server
// in a container, where the processes have other IDs.
func Postmaster(database string) (int, error) {
	pids, err := allPIDs()
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

// TreeCPU returns the CPU time of a process and all its children, including those that have ended.
func TreeCPU(parent int) (time.Duration, error) {
	total, err := CPU(parent)
	if err != nil {
		return 0, err
	}
	pids, err := allPIDs()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		s, err := readStat(pid)
		if err == nil && s.parent == parent { // readStat fails if the process has just ended
			total += s.own + s.children
		}
	}
	return total, nil
}

func allPIDs() ([]int, error) {
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
