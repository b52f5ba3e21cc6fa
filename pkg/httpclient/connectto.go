package httpclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newDial returns a dial function that applies the rules of list, see [Config.ConnectTo].
func newDial(list string) (dialFunc, error) {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	if list == "" {
		return dialer.DialContext, nil
	}
	var rules []connectRule
	for text := range strings.SplitSeq(list, ",") {
		rule, ok := parseConnectRule(strings.TrimSpace(text))
		if !ok {
			return nil, fmt.Errorf("parsing connect-to rules: %q is not of the form HOST1:PORT1:HOST2:PORT2", text)
		}
		rules = append(rules, rule)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, redirect(rules, address))
	}, nil
}

// redirect returns the address to which the first matching rule redirects address, or address
// itself.
func redirect(rules []connectRule, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address // the dialer reports the error
	}
	for _, rule := range rules {
		if rule.matches(host, port) {
			return rule.apply(host, port)
		}
	}
	return address
}

// A connectRule is one HOST1:PORT1:HOST2:PORT2, without brackets.
type connectRule struct{ fromHost, fromPort, toHost, toPort string }

func (r connectRule) matches(host, port string) bool {
	return (r.fromHost == "" || r.fromHost == canonicalHost(host)) && (r.fromPort == "" || r.fromPort == port)
}

func (r connectRule) apply(host, port string) string {
	if r.toHost != "" {
		host = r.toHost
	}
	if r.toPort != "" {
		port = r.toPort
	}
	return net.JoinHostPort(host, port)
}

// parseConnectRule parses one rule of curl's --connect-to. Unlike curl, it requires all four parts,
// and rejects a rule that as a whole is an IPv6 address without brackets.
func parseConnectRule(text string) (connectRule, bool) {
	if _, err := netip.ParseAddr(text); err == nil {
		return connectRule{}, false
	}
	var parts [4]string
	rest, more := text, true
	for i := range parts {
		if !more {
			return connectRule{}, false
		}
		parts[i], rest, more = cutPart(rest)
	}
	from, fromOK := parseHost(parts[0])
	to, toOK := parseHost(parts[2])
	ok := !more && fromOK && toOK
	for _, port := range []string{parts[1], parts[3]} {
		ok = ok && (port == "" || validPort(port))
	}
	return connectRule{from, strings.TrimLeft(parts[1], "0"), to, parts[3]}, ok
}

// cutPart cuts text after its first part, which ends at the first colon outside brackets.
func cutPart(text string) (part, rest string, more bool) {
	host := 0
	if strings.HasPrefix(text, "[") {
		host = strings.IndexByte(text, ']') + 1
	}
	after, rest, more := strings.Cut(text[host:], ":")
	return text[:host] + after, rest, more
}

// parseHost returns a rule's host in the form in which it is compared and dialled. ok reports
// whether it is valid: empty, a name, an IPv4 address, or an IPv6 address in brackets.
func parseHost(text string) (host string, ok bool) {
	const nameChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, ok := strings.CutSuffix(inner, "]")
		inner = strings.Replace(inner, "%25", "%", 1) // the zone separator in URLs, RFC 6874
		return canonicalHost(inner), ok && isIPv6(inner)
	}
	return canonicalHost(text), strings.Trim(text, nameChars) == ""
}

func isIPv6(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && address.Is6()
}

// canonicalHost returns the form in which hosts are compared.
func canonicalHost(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String()
	}
	return strings.ToLower(host)
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
