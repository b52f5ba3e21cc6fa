package httpclient_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"example.com/micromachine/pkg/httpclient"
)

// connects returns the address that a client connects to for a URL, if sayAddress serves it, and
// otherwise the client's error.
func connects(t *testing.T, rules, target string) string {
	t.Helper()
	client, err := httpclient.New(httpclient.Config{ConnectTo: rules})
	if err != nil {
		t.Fatalf("%s: %v", rules, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// sayAddress serves HTTP on a free port of host and answers with its address.
func sayAddress(t *testing.T, host string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil && host == "::1" {
		t.Skip("no IPv6 on this machine: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	addr = listener.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, addr)
	})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	return addr
}

func TestConnectTo(t *testing.T) {
	t.Parallel()
	four, six := sayAddress(t, "127.0.0.1"), sayAddress(t, "::1")
	_, port4, _ := net.SplitHostPort(four)
	_, port6, _ := net.SplitHostPort(six)
	const elsewhere = "shop.service:80:127.0.0.1:1"
	for _, tt := range []struct{ rules, target, want string }{
		{"census.service:80:" + four, "http://census.service/", four},
		{"census.service:80:" + six, "http://census.service/", six},
		{"census.service:80:[0:0:0::1]:" + port6, "http://census.service/", six},
		{"census.service:80:[::1%lo]:" + port6, "http://census.service/", six},
		{"census.service:80:[::1%25lo]:" + port6, "http://census.service/", six},
		{"[2001:DB8::1]:80:" + six, "http://[2001:db8::1]/", six},
		{"[2001:db8::1]:80:" + six, "http://[2001:DB8:0::1]/", six},
		{"[fe80::1%eth0]:8443:" + six, "http://[fe80::1%25eth0]:8443/", six},
		{"192.0.2.1:80:" + four, "http://192.0.2.1/", four},
		{"CENSUS.service:80:" + four, "http://census.service/", four},
		{"census.service:80:" + four, "http://Census.SERVICE/", four},
		{elsewhere + ", census.service:80:" + four, "http://census.service/", four},
		{"census.service:81:" + six + ",census.service:80:" + four, "http://census.service/", four},
		{"census.service:80:" + four + ",census.service:80:" + six, "http://census.service/", four}, // the first rule counts
		// An empty HOST1 or PORT1 matches any.
		{":80:" + four, "http://census.service/", four},
		{"census.service::" + four, "http://census.service:8080/", four},
		{"::" + four, "http://census.service:8080/", four},
		{"::" + six, "http://[2001:db8::1]:8080/", six},
		// An empty HOST2 or PORT2 keeps that of the URL.
		{"127.0.0.1:80::" + port4, "http://127.0.0.1/", four},
		{"[::1]:80::" + port6, "http://[::1]/", six},
		{"census.service:" + port4 + ":127.0.0.1:", "http://census.service:" + port4 + "/", four},
		{"census.service:" + port6 + ":[::1]:", "http://census.service:" + port6 + "/", six},
		{"127.0.0.1:" + port4 + "::,::" + six, "http://" + four + "/", four},
	} {
		if got := connects(t, tt.rules, tt.target); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.rules, tt.target, got, tt.want)
		}
	}
	// No rule matches the name, or the port.
	for _, target := range []string{"http://127.0.0.1:1/", "http://census.service.invalid:80/"} {
		if got := connects(t, "census.service:80:"+four, target); !strings.Contains(got, "dial tcp") {
			t.Errorf("%s: %s", target, got)
		}
	}
}

func TestConnectToFaults(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{
		"a", "a:1", "a:1:b", "a:1:b:2:3", "a:1:b:2:", "a:x:b:2", "a:1:b:x", "a:0:b:2", "a:1:b:65536", "a:-1:b:2", "a:1:b:+2",
		"::1:443:b:2", "a:1:::1:443", "a:1:[::1:443", "a:1:::1]:443", "a:1:[]:443", "[]:1:b:2", "a:1:[b]:2", "[a]:1:b:2",
		"a:1:[::1]x:443", "[::1]x:1:b:2", "a:1:[127.0.0.1]:2", "a:1:[::1%]:443", "a b:1:c:2", "a:1:b\nc:2",
		"a:1:b:2,,", ",", " ",
		"fe80::1:2", "https://a:1:b:2", "a/b:1:c:2",
	} {
		_, err := httpclient.New(httpclient.Config{ConnectTo: rules})
		if err == nil || !strings.Contains(err.Error(), "is not of the form HOST1:PORT1:HOST2:PORT2") {
			t.Errorf("%q: error %v", rules, err)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error has several lines: %v", rules, err)
		}
	}
}
