package svcauth

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ReadTrustFile reads a trust file and the key files that it names, as [NewVerifier] does, and returns what it says in
// the order of the issuers' names. Nothing is fetched. The error holds all faults, a line each with file, line and value.
func ReadTrustFile(file string) ([]TrustedIssuer, error) {
	read, err := loadTrust(file)
	if err != nil {
		return nil, fmt.Errorf("svcauth: %w", err)
	}
	issuers := make([]TrustedIssuer, 0, len(read.entries))
	for _, e := range read.entries {
		issuers = append(issuers, e.summary())
	}
	slices.SortFunc(issuers, func(a, b TrustedIssuer) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return issuers, nil
}

// A trustError is a fault in a trust file. Its text names file, line and value.
type trustError struct {
	file string
	line int
	err  error
}

func (e *trustError) Error() string {
	return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err)
}

func (e *trustError) Unwrap() error { return e.err }

// A trustFile is what was read from a trust file and from the key files it names.
type trustFile struct {
	entries map[string]*trustEntry // by issuer
	digest  [sha256.Size]byte      // of all the bytes read
}

// loadTrust reads a trust file and the key files it names. All its faults are reported together.
func loadTrust(file string) (*trustFile, error) {
	r := trustReader{file: file, entries: map[string]*trustEntry{}, digest: sha256.New(), seen: newSharedKeys()}
	data, _, err := r.read(file)
	if err != nil {
		return nil, fmt.Errorf("reading trust file: %w", err)
	}
	r.document(data)
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	return &trustFile{entries: r.entries, digest: [sha256.Size]byte(r.digest.Sum(nil))}, nil
}

// A trustReader walks the nodes of a trust file, so that each fault can name its line.
type trustReader struct {
	file    string
	entries map[string]*trustEntry
	digest  hash.Hash
	faults  []error
	seen    *sharedKeys
}

// maxTrustFileBytes bounds a trust file, and each of its key files.
const maxTrustFileBytes = 1 << 20

// read reads a file and notes its content in the digest. What is no regular file could keep the reader waiting for ever.
func (r *trustReader) read(file string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is not a regular file", file)
	case info.Size() > maxTrustFileBytes:
		return nil, nil, fmt.Errorf("%s has %d bytes: at most %d are read", file, info.Size(), maxTrustFileBytes)
	}
	data, err := os.ReadFile(file)
	fmt.Fprintf(r.digest, "%q %d ", file, len(data))
	r.digest.Write(data)
	return data, info, err
}

func (r *trustReader) fault(line int, format string, args ...any) {
	r.faults = append(r.faults, &trustError{r.file, line, fmt.Errorf(format, args...)})
}

// syntax notes that the file is no YAML, with the line that the error's text begins with, where it does.
func (r *trustReader) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if n, err := fmt.Sscanf(text, "line %d: ", &line); n == 1 && err == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	r.fault(line, "not a YAML document: %s", text)
}

func (r *trustReader) document(data []byte) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		r.syntax(err)
		return
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		r.fault(more.Line, "a second YAML document")
		return
	case !errors.Is(err, io.EOF):
		r.syntax(err)
		return
	}
	r.mapping(doc.Content[0], func(key, value *yaml.Node) {
		if key.Value != "issuers" {
			r.unknownKey(key, value)
			return
		}
		for _, node := range r.list(value) {
			r.entry(node)
		}
	})
	if len(r.entries) == 0 && len(r.faults) == 0 {
		r.fault(doc.Content[0].Line, "no issuers: nobody could call this service")
	}
}

// mapping calls visit for each pair of a mapping whose keys are distinct plain strings.
func (r *trustReader) mapping(node *yaml.Node, visit func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		r.fault(node.Line, "%q where a mapping is wanted", node.Value)
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			r.fault(key.Line, "%q where a key is wanted", key.Value)
			continue
		case seen[key.Value]:
			r.fault(key.Line, "duplicate key %q", key.Value)
		}
		seen[key.Value] = true
		visit(key, node.Content[i+1])
	}
}

func (r *trustReader) unknownKey(key, value *yaml.Node) {
	r.fault(key.Line, "unknown key %q (value %q)", key.Value, value.Value)
}

func (r *trustReader) list(node *yaml.Node) []*yaml.Node {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		r.fault(node.Line, "%q where a list with at least one item is wanted", node.Value)
		return nil
	}
	return node.Content
}

func (r *trustReader) text(node *yaml.Node) string {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!str" || node.Value == "" {
		r.fault(node.Line, "%q where a text is wanted", node.Value)
		return ""
	}
	return node.Value
}

func (r *trustReader) flag(node *yaml.Node) (flag bool) {
	if node.Tag != "!!bool" || node.Decode(&flag) != nil {
		r.fault(node.Line, "%q where true or false is wanted", node.Value)
	}
	return flag
}

func (r *trustReader) entry(node *yaml.Node) {
	e := &trustEntry{profile: Bound, lines: map[string]int{}}
	var keys *yaml.Node
	before := len(r.faults)
	r.mapping(node, func(key, value *yaml.Node) {
		e.lines[key.Value] = value.Line
		switch key.Value {
		case "issuer":
			e.issuer = r.text(value)
		case "profile":
			e.profile = Profile(r.text(value))
		case "algorithms":
			for _, item := range r.list(value) {
				r.algorithm(e, item)
			}
		case "keys":
			keys = value
		case "allow":
			for _, item := range r.list(value) {
				r.allow(e, item)
			}
		case "act_for":
			for _, item := range r.list(value) {
				r.actFor(e, item)
			}
		case "admin":
			e.admin = r.flag(value)
		case "sessions":
			e.sessions = r.flag(value)
		case "insecure_no_expiry":
			e.insecureNoExpiry = r.flag(value)
		default:
			r.unknownKey(key, value)
		}
	})
	if len(r.faults) == before {
		r.complete(node, e, keys)
	}
}

func (r *trustReader) algorithm(e *trustEntry, node *yaml.Node) {
	alg := Algorithm(r.text(node))
	if !alg.valid() {
		r.fault(node.Line, "unknown algorithm %q: must be %s, %s or %s", node.Value, EdDSA, ES256, RS256)
	}
	e.algorithms = append(e.algorithms, alg)
}

func (r *trustReader) allow(e *trustEntry, node *yaml.Node) {
	pattern, err := parseCallPattern(r.text(node))
	if err != nil {
		r.fault(node.Line, "allow: %w", err)
	}
	e.allow = append(e.allow, pattern)
}

func (r *trustReader) actFor(e *trustEntry, node *yaml.Node) {
	pattern, err := parseSubjectPattern(r.text(node))
	if err != nil {
		r.fault(node.Line, "act_for: %w", err)
	}
	e.actFor = append(e.actFor, pattern)
}

// complete checks what an entry's keys mean together, reads its key file, and takes the entry in.
func (r *trustReader) complete(node *yaml.Node, e *trustEntry, keys *yaml.Node) {
	switch err := checkServiceName(e.issuer); {
	case e.lines["issuer"] == 0:
		r.fault(node.Line, "an entry without issuer")
	case err != nil:
		r.fault(e.lines["issuer"], "issuer: %w", err)
	case r.entries[e.issuer] != nil:
		r.fault(e.lines["issuer"], "a second entry for the issuer %q", e.issuer)
	case e.profile != Bound && e.profile != Article:
		r.fault(e.lines["profile"], "unknown profile %q: must be %s or %s", e.profile, Bound, Article)
	case e.insecureNoExpiry && e.profile != Article:
		r.fault(e.lines["insecure_no_expiry"], "insecure_no_expiry is for the profile %s alone: %s tokens always expire", Article, Bound)
	case len(e.allow) == 0 && !e.sessions:
		r.fault(node.Line, "the issuer %q is allowed nothing: neither allow nor sessions: true", e.issuer)
	case len(e.allow) == 0 && (len(e.actFor) > 0 || e.admin):
		r.fault(node.Line, "act_for and admin are for calls, and the issuer %q has no allow", e.issuer)
	case keys == nil:
		r.fault(node.Line, "the issuer %q has no keys", e.issuer)
	default:
		r.keys(e, keys)
		r.entries[e.issuer] = e
	}
}

func (r *trustReader) keys(e *trustEntry, node *yaml.Node) {
	source := r.text(node)
	e.keysFrom = source
	switch {
	case source == "discover":
		r.keySet(e, node.Line, e.issuer+JWKSPath)
	case strings.Contains(source, "://"):
		r.keySet(e, node.Line, source)
	case source != "":
		r.keyFile(e, node.Line, source)
	}
}

func (r *trustReader) keySet(e *trustEntry, line int, address string) {
	canonical, err := canonicalURL(address)
	if err != nil {
		r.fault(line, "keys: %q is %w", address, err)
		return
	}
	e.jwksURL = address
	r.seen.keySet(r, e, canonical)
}

func (r *trustReader) keyFile(e *trustEntry, line int, name string) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.file), path)
	}
	data, info, err := r.read(path)
	if err != nil {
		r.fault(line, "keys: %w", err)
		return
	}
	keys, err := parseKeyFile(data)
	if err != nil {
		r.fault(line, "keys: %s: %w", name, err)
		return
	}
	for _, k := range keys {
		if !e.allowsAlgorithm(k.alg) {
			r.fault(line, "keys: %s: a key for %s, which algorithms leaves out", name, k.alg)
		}
	}
	e.keys = keys
	r.seen.keyFile(r, e, info)
}
