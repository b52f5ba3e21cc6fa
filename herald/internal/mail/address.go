package mail

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxLocalPart is the maximum length in bytes of the part before the @ (RFC 5321 section
// 4.5.3.1.1).
const maxLocalPart = 64

var (
	// punycode converts a name as resolvers do before a lookup (UTS #46). It does not restrict the
	// ASCII characters of a name; hostname does.
	punycode = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true),
		idna.StrictDomainName(false), idna.CheckHyphens(false))
	// hostname matches host names. It allows underscores, which are common in private networks.
	hostname = regexp.MustCompile(`^(\w|\w[\w-]*\w)(\.(\w|\w[\w-]*\w))*$`)
)

// ParseAddr splits the address of a mail server. Its form is host:port, [IPv6]:port or
// [IPv6%zone]:port with a numeric port. A host name that is not ASCII is returned in punycode. The
// error does not quote the address, which may contain a password by mistake.
func ParseAddr(addr string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(addr)
	if err != nil || host == "" {
		return "", "", errors.New("must be of the form host:port, or [host]:port for an IPv6 address")
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return "", "", errors.New("must end in a port number from 1 to 65535")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, port, nil
	}
	name, rooted := strings.CutSuffix(host, ".")
	if host, err = asciiName(name); err != nil {
		return "", "", errors.New("must begin with a host name or an IP address")
	}
	if rooted {
		host += "."
	}
	return host, port, nil
}

// ParseDomain returns a host in the form that SMTP and Message-IDs require: an address literal for
// an IP address (RFC 5321 section 4.1.3), and punycode for a name that is not ASCII.
func ParseDomain(host string) (string, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(strings.TrimPrefix(bare, "IPv6:")); err == nil {
		ip = ip.WithZone("").Unmap()
		if ip.Is4() {
			return "[" + ip.String() + "]", nil
		}
		return "[IPv6:" + ip.String() + "]", nil
	}
	return asciiName(strings.TrimSuffix(host, "."))
}

// asciiName returns a host name in lower case and punycode.
func asciiName(name string) (string, error) {
	ascii, err := punycode.ToASCII(name)
	if err != nil || !hostname.MatchString(ascii) {
		return "", errors.New("the host must be a domain name or an IP address")
	}
	return ascii, nil
}

// ParseFrom parses the sender of all mails, such as "Herald <herald@example.com>". A domain that is
// not ASCII is returned in punycode. The error gives the reason and does not quote the sender.
func ParseFrom(from string) (*mail.Address, error) {
	parsed, err := mail.ParseAddress(from)
	if err != nil {
		return nil, errors.New("must be a mail address, such as Herald <herald@example.com>")
	}
	if parsed.Name != "" && !validName(parsed.Name) {
		return nil, fmt.Errorf("the name must have at most %d characters, and no control characters", maxName)
	}
	local, _ := splitAddress(parsed.Address)
	if strings.ContainsFunc(local, notPrintableASCII) || len(local) > maxLocalPart {
		return nil, fmt.Errorf("the part before the @ must have at most %d characters, all of ASCII", maxLocalPart)
	}
	address, err := asciiDomain(parsed.Address)
	if err != nil {
		return nil, err
	}
	return &mail.Address{Name: singleSpaced(parsed.Name), Address: address}, nil
}

// asciiDomain returns an address with its domain in the form that [ParseDomain] returns.
func asciiDomain(address string) (string, error) {
	local, domain := splitAddress(address)
	domain, err := ParseDomain(domain)
	if err != nil {
		return "", errors.New("the part after the @ must be a domain")
	}
	address = local + "@" + domain
	if len(address) > maxAddress {
		return "", fmt.Errorf("the address must have at most %d characters", maxAddress)
	}
	return address, nil
}

// splitAddress splits an address at its last @. A quoted local part may contain others.
func splitAddress(address string) (local, domain string) {
	at := strings.LastIndexByte(address, '@')
	return address[:at], address[at+1:]
}

func notPrintableASCII(r rune) bool { return r < ' ' || r > '~' }
