package svcauth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connectTo returns a dial function that sends some addresses elsewhere, as [HTTPClientConfig] describes it.
func connectTo(list string) (dialFunc, error) {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}
	if list == "" {
		return dialer.DialContext, nil
	}
	var rules []connectRule
	for text := range strings.SplitSeq(list, ",") {
		rule, ok := parseConnectRule(strings.TrimSpace(text))
		if !ok {
			return nil, fmt.Errorf("connecting elsewhere: %q is not of the form HOST1:PORT1:HOST2:PORT2", text)
		}
		rules = append(rules, rule)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, elsewhere(rules, address))
	}, nil
}

// A connectRule is one HOST1:PORT1:HOST2:PORT2, without brackets.
type connectRule struct{ fromHost, fromPort, toHost, toPort string }

// parseConnectRule reads one rule of curl's --connect-to. Unlike curl, it wants all four parts, and takes no rule that is an
// IPv6 address as a whole, whose brackets were forgotten.
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
	from, fromOK := connectHost(parts[0])
	to, toOK := connectHost(parts[2])
	ok := !more && fromOK && toOK
	for _, port := range []string{parts[1], parts[3]} {
		ok = ok && (port == "" || validPort(port))
	}
	return connectRule{from, strings.TrimLeft(parts[1], "0"), to, parts[3]}, ok
}

// cutPart cuts text after its first part, which ends at a colon that is in no brackets.
func cutPart(text string) (part, rest string, more bool) {
	host := 0
	if strings.HasPrefix(text, "[") {
		host = strings.IndexByte(text, ']') + 1
	}
	after, rest, more := strings.Cut(text[host:], ":")
	return text[:host] + after, rest, more
}

// connectHost returns a rule's host as it is compared and dialled, and whether it is one: nothing, a name, an IPv4 address,
// or an IPv6 address in brackets.
func connectHost(text string) (host string, ok bool) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, ok := strings.CutSuffix(inner, "]")
		inner = strings.Replace(inner, "%25", "%", 1) // as URLs write it
		return canonicalHost(inner), ok && isIPv6(inner)
	}
	return canonicalHost(text), strings.Trim(text, unreserved) == ""
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

// elsewhere returns where the first rule that fits an address sends it.
func elsewhere(rules []connectRule, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address // the dialer says what is wrong with it
	}
	for _, rule := range rules {
		if rule.fromHost != "" && rule.fromHost != canonicalHost(host) || rule.fromPort != "" && rule.fromPort != port {
			continue
		}
		if rule.toHost != "" {
			host = rule.toHost
		}
		if rule.toPort != "" {
			port = rule.toPort
		}
		return net.JoinHostPort(host, port)
	}
	return address
}
