package packfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"
)

// Limits of what the aliases of one YAML file may expand to.
const (
	maxYAMLNodes = 1_000_000
	maxYAMLJSON  = 32 << 20
)

// readYAML parses a YAML file of one document and converts it to JSON with the
// scalars kept literally: 2026-03-02 stays a text, 1.10 stays the number 1.10.
// What has no exact JSON form (1_000, 0x1f, .5, !tag) is refused.
func readYAML(f File) (*Document, error) {
	if len(f.Data) > maxYAMLBytes {
		return nil, tooLarge(f.Name, 0, fmt.Sprintf("has more than %d bytes", maxYAMLBytes))
	}
	var root, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(f.Data))
	if err := dec.Decode(&root); err != nil {
		return nil, yamlSyntax(f.Name, err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, &Problem{File: f.Name, Line: more.Line, What: "has a second YAML document",
			Hint: "keep one document in the file", Kind: ErrMalformed}
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlSyntax(f.Name, err)
	}
	if len(root.Content) != 1 {
		return nil, yamlSyntax(f.Name, io.EOF)
	}
	c := yamlConverter{name: f.Name}
	if err := c.convert(root.Content[0], 0); err != nil {
		return nil, err
	}
	return &Document{file: f, json: c.out, node: root.Content[0]}, nil
}

// yamlSyntax takes the line out of what the YAML reader found.
func yamlSyntax(name string, err error) error {
	p := &Problem{File: name, What: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "), Kind: ErrMalformed,
		Hint: "fix the syntax; a text with \": \" in it needs quotes"}
	if at, ok := errors.AsType[*yaml.LoadError](err); ok {
		p.Line, p.What = at.Mark.Line, "is not YAML: "+at.Message
	}
	if errors.Is(err, io.EOF) {
		p.What = "is not YAML: it is empty"
	}
	return p
}

// yamlConverter writes nodes as JSON.
type yamlConverter struct {
	name  string
	out   []byte
	nodes int
}

func (c *yamlConverter) bad(n *yaml.Node, hint, format string, args ...any) error {
	return &Problem{File: c.name, Line: n.Line, What: fmt.Sprintf(format, args...), Hint: hint, Kind: ErrMalformed}
}

func (c *yamlConverter) convert(n *yaml.Node, depth int) error {
	c.nodes++
	switch {
	case depth > maxDepth: // also an alias that contains itself
		return tooLarge(c.name, n.Line, fmt.Sprintf("is nested deeper than %d", maxDepth))
	case c.nodes > maxYAMLNodes || len(c.out) > maxYAMLJSON:
		return tooLarge(c.name, n.Line, "its aliases expand too far")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return c.convert(n.Alias, depth+1)
	case yaml.SequenceNode:
		return c.sequence(n, depth)
	case yaml.MappingNode:
		return c.mapping(n, depth)
	}
	return c.scalar(n)
}

func (c *yamlConverter) sequence(n *yaml.Node, depth int) error {
	if n.ShortTag() != "!!seq" {
		return c.bad(n, "remove the tag", "has the tag %s", n.Tag)
	}
	c.out = append(c.out, '[')
	for i, item := range n.Content {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		if err := c.convert(item, depth+1); err != nil {
			return err
		}
	}
	c.out = append(c.out, ']')
	return nil
}

func (c *yamlConverter) mapping(n *yaml.Node, depth int) error {
	if n.ShortTag() != "!!map" {
		return c.bad(n, "remove the tag", "has the tag %s", n.Tag)
	}
	m := merged{values: map[string]*yaml.Node{}}
	if err := c.collect(n, &m, depth); err != nil {
		return err
	}
	c.out = append(c.out, '{')
	for i, key := range m.keys {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		if err := c.text(n, key); err != nil {
			return err
		}
		c.out = append(c.out, ':')
		if err := c.convert(m.values[key], depth+1); err != nil {
			return err
		}
	}
	c.out = append(c.out, '}')
	return nil
}

// merged is a mapping after its merge keys were applied; first come stays.
type merged struct {
	keys   []string
	values map[string]*yaml.Node
}

// collect adds the members of n to m: its own first, then those of its merge
// keys in order, which is what YAML's merge says.
func (c *yamlConverter) collect(n *yaml.Node, m *merged, depth int) error {
	if c.nodes += len(n.Content); depth > maxDepth || c.nodes > maxYAMLNodes {
		return tooLarge(c.name, n.Line, "its merge keys expand too far")
	}
	own := map[string]bool{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			return c.bad(key, "write the key in quotes", "a key is not a text")
		}
		if own[key.Value] {
			return c.bad(key, "keep one of them", "the key %q appears twice", key.Value)
		}
		own[key.Value] = true
		if _, there := m.values[key.Value]; !there {
			m.keys = append(m.keys, key.Value)
			m.values[key.Value] = value
		}
	}
	if len(merges) > 1 {
		return c.bad(merges[1], "merge a list: <<: [*a, *b]", "the merge key << appears twice")
	}
	for _, value := range merges {
		if err := c.merge(value, m, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *yamlConverter) merge(n *yaml.Node, m *merged, depth int) error {
	for hops := 0; n.Kind == yaml.AliasNode; hops++ {
		if hops > maxDepth {
			return tooLarge(c.name, n.Line, "its aliases go in circles")
		}
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.collect(n, m, depth)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind == yaml.SequenceNode {
				return c.bad(item, "merge a mapping or a flat list of mappings", "a merge key << names a list of lists")
			}
			if err := c.merge(item, m, depth+1); err != nil {
				return err
			}
			if depth > maxDepth {
				return tooLarge(c.name, n.Line, "its merge keys expand too far")
			}
		}
		return nil
	}
	return c.bad(n, "merge a mapping or a list of mappings", "a merge key << names something else")
}

func (c *yamlConverter) scalar(n *yaml.Node) error {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		return c.text(n, n.Value)
	case "!!null":
		c.out = append(c.out, "null"...)
	case "!!bool":
		word := strings.ToLower(n.Value)
		if word != "true" && word != "false" {
			return c.bad(n, "write true or false", "%q is not a boolean", n.Value)
		}
		c.out = append(c.out, word...)
	case "!!int", "!!float":
		if v := jsontext.Value(n.Value); n.Style != 0 || !v.IsValid() || strings.TrimSpace(n.Value) != n.Value {
			return c.bad(n, "write it as in JSON, or in quotes if it is a text", "%q is not a plain decimal number", n.Value)
		}
		c.out = append(c.out, n.Value...)
	default:
		return c.bad(n, "remove the tag, or write the value in quotes", "has the tag %s", tag)
	}
	return nil
}

func (c *yamlConverter) text(n *yaml.Node, s string) error {
	out, err := jsontext.AppendQuote(c.out, s)
	if err != nil {
		return c.bad(n, "write it in UTF-8", "a text is not UTF-8")
	}
	c.out = out
	return nil
}
