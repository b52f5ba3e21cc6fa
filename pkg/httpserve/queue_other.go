//go:build !unix

package httpserve

import "net"

// queued cannot ask the kernel here: connections that are not yet accepted are reset.
func queued(*net.TCPListener) bool { return false }
