package azure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/platform"
)

// File is a file that was read, and how messages speak of it.
type File struct {
	Flag string // such as --server
	Path string
	Data []byte
}

func (f *File) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", f.Flag, f.Path, fmt.Errorf(format, args...))
}

// maxDepth is how deep values may lie in values; those of Azure have some ten levels, nested deployments four each.
const maxDepth = 100

// object is a JSON object in the order of the file. Azure does not tell names apart by case, and az and templates
// differ in it, so neither does this.
type object struct {
	names  []string
	values []any
	index  map[string]int // by name in lower case, once there are many
}

// fewNames is how many names are looked through one by one: most objects have no more, and a map for each of them
// would be most of the memory.
const fewNames = 16

// add takes a field; false where there is one of that name.
func (o *object) add(name string, v any) bool {
	if o.find(name) >= 0 {
		return false
	}
	o.names, o.values = append(o.names, name), append(o.values, v)
	switch {
	case o.index != nil:
		o.index[strings.ToLower(name)] = len(o.names) - 1
	case len(o.names) > fewNames:
		o.index = map[string]int{}
		for i, n := range o.names {
			o.index[strings.ToLower(n)] = i
		}
	}
	return true
}

func (o *object) find(name string) int {
	if o.index == nil {
		return slices.IndexFunc(o.names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	if i, ok := o.index[strings.ToLower(name)]; ok {
		return i
	}
	return -1
}

func (o *object) get(name string) (any, bool) {
	if i := o.find(name); i >= 0 {
		return o.values[i], true
	}
	return nil, false
}

// maxValues bounds the values in a file: small ones take many times their text.
const maxValues = 1_000_000

type decoder struct {
	*json.Decoder
	values int
}

// decode reads JSON text into *object, []any, string, json.Number, bool and nil. A name given twice is an error: it
// could not be said which value counts.
func decode(data []byte) (any, error) {
	d := &decoder{Decoder: json.NewDecoder(bytes.NewReader(data))}
	d.UseNumber()
	v, err := d.value(0)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return v, nil
		}
		err = errors.New("something follows the JSON value")
	}
	line := 1 + bytes.Count(data[:min(int(d.InputOffset()), len(data))], []byte("\n"))
	return nil, fmt.Errorf("line %d: %w", line, err)
}

// next gives a token, where there must be one.
func (d *decoder) next() (json.Token, error) {
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = errors.New("unexpected end of JSON input")
	}
	return t, err
}

func (d *decoder) value(depth int) (any, error) {
	t, err := d.next()
	d.values++
	switch {
	case err != nil:
		return nil, err
	case d.values > maxValues:
		return nil, fmt.Errorf("more than %d values", maxValues)
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("values lie more than %d levels deep", maxDepth)
	}
	var out any
	if delim == '[' {
		out, err = d.list(depth + 1)
	} else {
		out, err = d.object(depth + 1)
	}
	if err != nil {
		return nil, err
	}
	_, err = d.next() // its end
	return out, err
}

func (d *decoder) list(depth int) ([]any, error) {
	out := []any{}
	for d.More() {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (d *decoder) object(depth int) (*object, error) {
	o := &object{}
	for d.More() {
		t, err := d.next()
		if err != nil {
			return nil, err
		}
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		if name, _ := t.(string); !o.add(name, v) {
			return nil, fmt.Errorf("the name %s is given twice in one object", quoted(name))
		}
	}
	return o, nil
}

// read decodes a file that a command writes.
func (f *File) read(command string) (any, error) {
	data, err := platform.AzureText(f.Data, command)
	if err != nil {
		return nil, f.errorf("%w", err)
	}
	if command == TemplateCommand || command == ParametersCommand {
		data = withoutComments(data)
	}
	v, err := decode(data)
	if err != nil {
		return nil, f.errorf("cannot be read as JSON: %w (hint: %s)", err, command)
	}
	return v, nil
}

// withoutComments puts spaces for comments, which Azure takes in templates that people write.
func withoutComments(data []byte) []byte {
	out := slices.Clone(data)
	for i := 0; i < len(out); i++ {
		end := 0
		switch {
		case out[i] == '"':
			for i++; i < len(out) && out[i] != '"'; i++ {
				if out[i] == '\\' {
					i++
				}
			}
		case bytes.HasPrefix(out[i:], []byte("//")):
			end = bytes.IndexByte(out[i:], '\n')
		case bytes.HasPrefix(out[i:], []byte("/*")):
			if end = bytes.Index(out[i+2:], []byte("*/")); end >= 0 {
				end += len("/**/")
			}
		}
		if end < 0 { // it is not closed
			end = len(out) - i
		}
		for j := range end {
			if out[i+j] != '\n' { // so that lines keep their numbers
				out[i+j] = ' '
			}
		}
	}
	return out
}
