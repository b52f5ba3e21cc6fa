package main

import (
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// request and curl interpret --connect-to alike, for a callee with an IPv6 address.
func TestConnectTo(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	profiles(t, func(t *testing.T, c *callee) {
		_, port, _ := strings.Cut(strings.TrimPrefix(c.connectTo, "herald.service:443:"), ":")
		port = forwardFromIPv6(t, "127.0.0.1:"+port)
		for _, rules := range []string{
			"herald.service:443:[::1]:" + port, "HERALD.service:443:[0::1]:" + port, ":443:[::1]:" + port,
			"herald.service::[::1]:" + port, "::[::1]:" + port, "shop.service:443::1, herald.service:443:[::1]:" + port,
		} {
			c.connectTo = rules
			c.check(t, succeed(t, c.args("request", herald+"user/")...))
			c.check(t, shell(t, c.curlLine(t, "", herald+"user/")))
		}
	})
}

// forwardFromIPv6 listens on a port of ::1 and forwards connections.
func forwardFromIPv6(t *testing.T, addr string) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}
