// Package serviceurl checks the names of services, which are base URLs, and the paths of their
// resources.
package serviceurl

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Check returns an error unless name is a service's base URL in its canonical form: https, a host
// in lower case, an optional port, and a clean path that ends with a slash.
func Check(name string) error {
	u, err := url.Parse(name)
	switch {
	case strings.Contains(Origin(name), "%"):
		return fmt.Errorf("%q has a zone, which means nothing on another host, or an encoded host", name)
	case err != nil:
		return fmt.Errorf("%q is not a URL", name)
	case u.Scheme != "https" || u.Hostname() == "" || strings.Contains(u.Host, "*"):
		return fmt.Errorf("%q is not an https URL of a host", name)
	case strings.HasPrefix(u.Host, "[") && CanonicalHost(u.Hostname()) != u.Hostname():
		return fmt.Errorf("%q is not in its canonical form", name)
	case u.Port() != "" && !ValidPort(u.Port()):
		return fmt.Errorf("%q has a port that is none", name)
	case u.String() != name || u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("%q is not in its canonical form", name)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("%q has more than scheme, host and path", name)
	case !strings.HasSuffix(u.Path, "/"):
		return fmt.Errorf("%q does not end with a slash", name)
	case u.Path != "/" && !CleanPath(u.EscapedPath()):
		return fmt.Errorf("the path of %q is not clean", name)
	}
	return nil
}

// Origin returns scheme and host of an https URL. For a URL of another scheme the result is
// meaningless.
func Origin(name string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(name, "https://"), "/")
	return "https://" + host
}

// ValidPort reports whether port is a decimal number from 1 to 65535.
func ValidPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// CanonicalHost returns host in lower case, or an IP address in its canonical form (RFC 5952).
func CanonicalHost(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String()
	}
	return strings.ToLower(host)
}
