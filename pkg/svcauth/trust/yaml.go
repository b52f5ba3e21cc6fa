package trust

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/micromachine/pkg/svcauth/keys"
)

// A yamlReader reads the nodes of a trust file, so that each fault can name its line.
type yamlReader struct{ builder *builder }

// syntaxFault notes that the file is not YAML, with the line that the error's text begins with.
func (r yamlReader) syntaxFault(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if n, err := fmt.Sscanf(text, "line %d: ", &line); n == 1 && err == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	r.builder.fault(line, "not a YAML document: %s", text)
}

func (r yamlReader) document(data []byte) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		r.syntaxFault(err)
		return
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		r.builder.fault(more.Line, "a second YAML document")
		return
	case !errors.Is(err, io.EOF):
		r.syntaxFault(err)
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
}

// mapping calls visit for each pair of a mapping whose keys are distinct plain strings.
func (r yamlReader) mapping(node *yaml.Node, visit func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		r.builder.fault(node.Line, "%q where a mapping is wanted", node.Value)
		return
	}
	known := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			r.builder.fault(key.Line, "%q where a key is wanted", key.Value)
			continue
		case known[key.Value]:
			r.builder.fault(key.Line, "duplicate key %q", key.Value)
		}
		known[key.Value] = true
		visit(key, node.Content[i+1])
	}
}

func (r yamlReader) unknownKey(key, value *yaml.Node) {
	r.builder.fault(key.Line, "unknown key %q (value %q)", key.Value, value.Value)
}

func (r yamlReader) list(node *yaml.Node) []*yaml.Node {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		r.builder.fault(node.Line, "%q where a list with at least one item is wanted", node.Value)
		return nil
	}
	return node.Content
}

func (r yamlReader) text(node *yaml.Node) string {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!str" || node.Value == "" {
		r.builder.fault(node.Line, "%q where a text is wanted", node.Value)
		return ""
	}
	return node.Value
}

// texts returns the texts of a list, and their lines.
func (r yamlReader) texts(node *yaml.Node) (texts []string, at []int) {
	for _, item := range r.list(node) {
		texts, at = append(texts, r.text(item)), append(at, item.Line)
	}
	return texts, at
}

func (r yamlReader) flag(node *yaml.Node) (flag bool) {
	if node.Tag != "!!bool" || node.Decode(&flag) != nil {
		r.builder.fault(node.Line, "%q where true or false is wanted", node.Value)
	}
	return flag
}

// entry reads one issuer and adds it to the policy.
func (r yamlReader) entry(node *yaml.Node) {
	issuer, at := Issuer{}, lines{entry: node.Line, fields: map[string]int{}}
	before := len(r.builder.faults)
	r.mapping(node, func(key, value *yaml.Node) {
		at.fields[key.Value] = value.Line
		switch key.Value {
		case "issuer":
			issuer.Name = r.text(value)
		case "profile":
			issuer.Profile = Profile(r.text(value))
		case "algorithms":
			var names []string
			names, at.algs = r.texts(value)
			for _, name := range names {
				issuer.Algorithms = append(issuer.Algorithms, keys.Algorithm(name))
			}
		case "keys":
			issuer.Keys = r.text(value)
		case "allow":
			issuer.Allow, at.allow = r.texts(value)
		case "act_for":
			issuer.ActFor, at.actFor = r.texts(value)
		case "admin":
			issuer.Admin = r.flag(value)
		case "sessions":
			issuer.Sessions = r.flag(value)
		case "insecure_no_expiry":
			issuer.InsecureNoExpiry = r.flag(value)
		default:
			r.unknownKey(key, value)
		}
	})
	r.builder.add(&issuer, at, len(r.builder.faults) > before)
}
