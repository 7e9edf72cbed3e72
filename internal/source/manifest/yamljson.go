package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/source/objects"
)

const (
	// maxAliased bounds how many values aliases may stand for in one document. A file of a few lines
	// can otherwise describe billions of them.
	maxAliased = 1_000_000
	maxJSON    = 2 * maxDocument
	maxDepth   = 1000
)

// converter turns the nodes of one YAML document into JSON, by the same rules as kubectl.
type converter struct {
	base    int              // lines of the file before the document
	text    []byte           // the document
	marked  map[string][]int // see ignoreLines
	out     bytes.Buffer
	aliased int
	written int
	active  map[*yaml.Node]bool // anchors that are being written, to find one that contains itself
	scalars map[string]scalar
}

// yamlError is a problem at a line of the file.
type yamlError struct {
	line          int
	problem, hint string
}

func (c *converter) errorf(n *yaml.Node, format string, args ...any) *yamlError {
	return &yamlError{line: c.base + n.Line, problem: fmt.Sprintf(format, args...)}
}

// json gives the JSON text of a node; it is the caller's.
func (c *converter) json(n *yaml.Node) ([]byte, *yamlError) {
	c.out.Reset()
	if err := c.write(n, 0, false); err != nil {
		return nil, err
	}
	c.written += c.out.Len()
	return bytes.Clone(c.out.Bytes()), nil
}

func (c *converter) write(n *yaml.Node, depth int, inAlias bool) *yamlError {
	if inAlias {
		c.aliased++
	}
	if c.aliased > maxAliased || c.written+c.out.Len() > maxJSON {
		return c.errorf(n, "the aliases of this document stand for too many values")
	}
	if depth > maxDepth {
		return c.errorf(n, "values lie more than %d deep in each other", maxDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.writeMap(n, depth, inAlias)
	case yaml.SequenceNode:
		return c.writeList(n, depth, inAlias)
	case yaml.AliasNode:
		return c.writeAlias(n, depth)
	}
	s, err := c.scalar(n)
	if err != nil {
		return err
	}
	c.out.Write(s.json)
	return nil
}

func (c *converter) writeAlias(n *yaml.Node, depth int) *yamlError {
	if c.active[n.Alias] {
		return c.errorf(n, "the anchor %s contains itself", objects.Safe(n.Value))
	}
	if c.active == nil {
		c.active = map[*yaml.Node]bool{}
	}
	c.active[n.Alias] = true
	err := c.write(n.Alias, depth+1, true)
	delete(c.active, n.Alias)
	return err
}

func (c *converter) writeList(n *yaml.Node, depth int, inAlias bool) *yamlError {
	c.out.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			c.out.WriteByte(',')
		}
		if err := c.write(item, depth+1, inAlias); err != nil {
			return err
		}
	}
	c.out.WriteByte(']')
	return nil
}

func (c *converter) writeMap(n *yaml.Node, depth int, inAlias bool) *yamlError {
	members, err := c.members(n, depth)
	if err != nil {
		return err
	}
	c.out.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			c.out.WriteByte(',')
		}
		key, _ := json.Marshal(m.key)
		c.out.Write(key)
		c.out.WriteByte(':')
		if err := c.write(m.value, depth+1, inAlias || m.merged); err != nil {
			return err
		}
	}
	c.out.WriteByte('}')
	return nil
}

// member is one field of a mapping, its own or merged into it.
type member struct {
	key    string
	node   *yaml.Node // of the key
	value  *yaml.Node
	merged bool
}

// members lists the fields of a mapping. A field given twice is an error; a merged one (<<) gives
// way to the mapping's own.
func (c *converter) members(n *yaml.Node, depth int) ([]member, *yamlError) {
	if depth > maxDepth {
		return nil, c.errorf(n, "merges lie more than %d deep in each other", maxDepth)
	}
	var out []member
	at := make(map[string]int, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			merges = append(merges, n.Content[i+1])
			continue
		}
		key, err := c.key(k)
		if err != nil {
			return nil, err
		}
		if first, dup := at[key]; dup {
			return nil, c.errorf(k, "field %s is given twice, first at line %d", objects.Safe(key), c.base+out[first].node.Line)
		}
		at[key] = len(out)
		out = append(out, member{key: key, node: k, value: n.Content[i+1]})
	}
	for _, m := range merges {
		maps, err := c.mergeSources(m)
		if err != nil {
			return nil, err
		}
		for _, source := range maps {
			if c.aliased += len(source.Content) / 2; c.aliased > maxAliased {
				return nil, c.errorf(m, "the aliases of this document stand for too many values")
			}
			more, err := c.members(source, depth+1)
			if err != nil {
				return nil, err
			}
			for _, f := range more {
				if _, have := at[f.key]; !have {
					at[f.key] = len(out)
					f.merged = true
					out = append(out, f)
				}
			}
		}
	}
	return out, nil
}

// mergeSources gives the mappings that a merge key names: one, or a list of them.
func (c *converter) mergeSources(n *yaml.Node) ([]*yaml.Node, *yamlError) {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	var out []*yaml.Node
	for _, m := range list {
		if m.Kind == yaml.AliasNode {
			m = m.Alias
		}
		if m.Kind != yaml.MappingNode {
			return nil, c.errorf(m, "only a map can be merged")
		}
		out = append(out, m)
	}
	return out, nil
}

// key gives a field's name. As kubectl does, numbers and booleans become text.
func (c *converter) key(n *yaml.Node) (string, *yamlError) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return "", c.errorf(n, "the name of a field cannot be a map or a list")
	}
	s, err := c.scalar(n)
	if err != nil {
		return "", err
	}
	if s.isString {
		return n.Value, nil
	}
	if string(s.json) == "null" {
		return "", c.errorf(n, "the name of a field cannot be empty")
	}
	return string(s.json), nil
}

// scalar is a resolved scalar.
type scalar struct {
	json     []byte
	isString bool
}

const quotedStyle = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// scalar resolves a scalar as kubectl does, which follows YAML 1.1: yes and on are booleans, 010 is 8.
func (c *converter) scalar(n *yaml.Node) (scalar, *yamlError) {
	tagged := n.Style&yaml.TaggedStyle != 0
	switch {
	case tagged && n.Tag == "!!str", !tagged && n.Style&quotedStyle != 0:
		return stringScalar(n.Value), nil
	case tagged && n.Tag != "!!int" && n.Tag != "!!float" && n.Tag != "!!bool" && n.Tag != "!!null":
		return scalar{}, c.errorf(n, "the tag %s is not supported", objects.Safe(n.Tag))
	}
	v := n.Value
	switch {
	case v == "" || v == "~" || v == "null":
		return scalar{json: []byte("null")}, nil
	case v == "true" || v == "false" || decimal.MatchString(v):
		return scalar{json: []byte(v)}, nil
	case !ambiguous(v):
		return stringScalar(v), nil
	}
	if s, ok := c.scalars[v]; ok {
		return s, nil
	}
	s, err := resolve(v)
	if err != nil {
		return scalar{}, c.errorf(n, "%s has no JSON form", objects.Safe(v))
	}
	if c.scalars == nil {
		c.scalars = map[string]scalar{}
	}
	c.scalars[v] = s
	return s, nil
}

func stringScalar(v string) scalar {
	text, _ := json.Marshal(v)
	return scalar{json: text, isString: true}
}

var decimal = regexp.MustCompile(`^(-?[1-9][0-9]{0,17}|0)$`)

// ambiguous tells whether a plain scalar may be anything but a string; most are told by a look.
func ambiguous(v string) bool {
	if len(v) > 64 || strings.ContainsAny(v, " \t\n\r/:@,;%=*!|#'\"\\") || strings.Count(v, ".") > 1 {
		return false
	}
	switch c := v[0]; {
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
		return true
	}
	return len(v) <= 5 && strings.IndexByte("yYnNtTfFoO", v[0]) >= 0
}

// resolve asks the YAML library that kubectl uses.
func resolve(v string) (scalar, error) {
	text, err := sigsyaml.YAMLToJSON([]byte("v: " + v + "\n"))
	if err != nil {
		return scalar{}, err
	}
	text = bytes.TrimSpace(text)
	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte(`{"v":`)), []byte("}"))
	if !json.Valid(text) {
		return scalar{}, fmt.Errorf("cannot read %s", strconv.Quote(v))
	}
	return scalar{json: text, isString: text[0] == '"'}, nil
}
