//go:build unix

package httpserve

import (
	"net"

	"golang.org/x/sys/unix"
)

// queued reports whether the kernel has a connection that is not yet accepted.
func queued(l *net.TCPListener) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	ready := 0
	err = raw.Control(func(fd uintptr) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor is an int32
	})
	return err == nil && ready > 0
}
