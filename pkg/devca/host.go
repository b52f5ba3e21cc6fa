package devca

import (
	"fmt"
	"net"
	"strings"
)

// CheckHost returns an error unless host is a DNS name in lower case or an IP address in canonical
// form. Names whose files would be those of another certificate or key, such as "ca", are errors.
func CheckHost(host string) error {
	if ip := net.ParseIP(host); ip != nil {
		if ip.String() != host {
			return fmt.Errorf("the canonical form of the address %q is %q", host, ip)
		}
		return nil
	}
	switch {
	case host != strings.ToLower(host):
		return fmt.Errorf("the host name %q has capital letters", host)
	case len(host) > 253:
		return fmt.Errorf("the host name %.32q… has %d characters, more than 253", host, len(host))
	case host == "ca" || strings.HasSuffix(host, "-key"):
		return fmt.Errorf("the files of the host name %q would be those of another certificate or key", host)
	}
	for label := range strings.SplitSeq(host, ".") {
		if !isLabel(label) {
			return fmt.Errorf("%q is not a host name", host)
		}
	}
	return nil
}

// isLabel reports whether s is a label of a DNS name. It may contain underscores, as names of
// containers do.
func isLabel(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	return s != "" && len(s) <= 63 && strings.Trim(s, letters+"-") == "" && s[0] != '-' && s[len(s)-1] != '-'
}
