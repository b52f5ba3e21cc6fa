//go:build !unix

package httpserve

import "net"

// queued always reports false, because this system cannot be asked. Connections that are not yet
// accepted when the listener is closed are reset.
func queued(*net.TCPListener) bool { return false }
