package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sallyport.dev/sallyport/internal/source/objects"
)

// lineReader passes bytes on and remembers where lines begin, for as long as somebody may ask. It
// refuses to read far beyond the last finished object.
type lineReader struct {
	in       io.Reader
	read     int64   // bytes passed on
	limit    int64   // bytes that may be passed on
	newlines []int64 // offsets of line ends not yet counted
	line     int     // of the first byte after the last counted line end
}

func (r *lineReader) Read(p []byte) (int, error) {
	if r.read >= r.limit {
		return 0, errTooLarge
	}
	p = p[:min(int64(len(p)), r.limit-r.read)]
	n, err := r.in.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			r.newlines = append(r.newlines, r.read+int64(i))
		}
	}
	r.read += int64(n)
	return n, err
}

// at gives the line of an offset. Offsets must be asked for in rising order.
func (r *lineReader) at(offset int64) int {
	i := 0
	for i < len(r.newlines) && r.newlines[i] < offset {
		i++
	}
	r.line += i
	r.newlines = append(r.newlines[:0], r.newlines[i:]...)
	return r.line
}

// jsonFile is a stream of JSON objects.
type jsonFile struct {
	*file
	lines *lineReader
	dec   *json.Decoder
}

// readJSON reads a stream of JSON objects. A list's items are read one by one, so that the dump of a
// whole cluster costs no more memory than what is kept of it.
func (f *file) readJSON(in *bufio.Reader) {
	lines := &lineReader{in: in, line: 1}
	j := &jsonFile{file: f, lines: lines, dec: json.NewDecoder(lines)}
	for {
		j.allow()
		rest, err := j.object()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			j.syntax(err)
			return
		case rest != nil: // YAML documents follow
			f.readYAML(bufio.NewReader(rest), lines.at(j.dec.InputOffset()))
			return
		}
	}
}

// allow lets the next object be read.
func (j *jsonFile) allow() { j.lines.limit = j.dec.InputOffset() + maxDocument }

func (j *jsonFile) syntax(err error) {
	line := j.lines.at(j.dec.InputOffset())
	var se *json.SyntaxError
	switch {
	case errors.Is(err, errTooLarge):
		j.fail(line, "this object is larger than 32 MiB", "only lists of objects may be larger")
	case errors.As(err, &se):
		if at := j.lines.at(se.Offset); at > line {
			line = at
		}
		j.fail(line, "this is not JSON: "+objects.SafeText(err.Error()), "")
	case errors.Is(err, io.ErrUnexpectedEOF):
		j.fail(line, "this is not JSON: the file ends in the middle of an object", "")
	default:
		j.fail(line, "cannot be read: "+objects.SafeText(reason(err)), "")
	}
}

// part is one field of an object that is read field by field.
type part struct {
	key     string
	keyLine int
	line    int
	raw     json.RawMessage
}

// object reads one object of the stream. Where YAML follows instead, it gives the rest of the input.
func (j *jsonFile) object() (rest io.Reader, err error) {
	t, err := j.dec.Token()
	if err != nil {
		if buffered, e := io.ReadAll(j.dec.Buffered()); e == nil && bytes.HasPrefix(bytes.TrimSpace(buffered), []byte("---")) {
			return io.MultiReader(bytes.NewReader(bytes.TrimLeft(buffered, " \t\r\n")), j.lines.in), nil
		}
		return nil, err
	}
	start := j.lines.at(j.dec.InputOffset())
	if t != json.Delim('{') {
		return nil, fmt.Errorf("a Kubernetes object must be a JSON object, not %v", t)
	}
	o := &jsonObject{line: start}
	for j.dec.More() {
		if err := j.field(o); err != nil {
			return nil, unexpected(err)
		}
	}
	if _, err := j.dec.Token(); err != nil {
		return nil, unexpected(err)
	}
	j.finish(o)
	return nil, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// jsonObject is a top-level object as far as it was read.
type jsonObject struct {
	line             int
	parts            []part
	apiVersion, kind string
	listed           bool   // it has items that were read as objects
	untyped          []part // items that do not say their kind, before the list's kind is known
	untypedSize      int
}

// field reads one field of a top-level object.
func (j *jsonFile) field(o *jsonObject) error {
	t, err := j.dec.Token()
	if err != nil {
		return err
	}
	p := part{key: fmt.Sprint(t), keyLine: j.lines.at(j.dec.InputOffset())}
	if p.key == "items" && (o.kind == "" || objects.IsList(o.kind)) {
		return j.items(o)
	}
	if err := j.raw(&p); err != nil {
		return err
	}
	o.parts = append(o.parts, p)
	switch p.key {
	case "apiVersion":
		_ = json.Unmarshal(p.raw, &o.apiVersion) // what is no string is reported when the object is added
	case "kind":
		_ = json.Unmarshal(p.raw, &o.kind)
	}
	return nil
}

// raw reads the next value and where it begins.
func (j *jsonFile) raw(p *part) error {
	if err := j.dec.Decode(&p.raw); err != nil {
		return err
	}
	p.line = j.lines.at(j.dec.InputOffset() - int64(len(p.raw)))
	return nil
}

// items reads the items of a list, each as an object.
func (j *jsonFile) items(o *jsonObject) error {
	t, err := j.dec.Token()
	switch {
	case err != nil:
		return err
	case t == nil:
		o.listed = true // "items": null, which is how an empty list is written
		return nil
	case t != json.Delim('['):
		return fmt.Errorf("items must be a list")
	}
	o.listed = true
	for j.dec.More() {
		j.allow()
		var p part
		if err := j.raw(&p); err != nil {
			return err
		}
		if err := j.item(o, p); err != nil {
			return err
		}
	}
	_, err = j.dec.Token()
	j.allow()
	return err
}

// item adds one item of a list, or keeps it until the list's kind is known.
func (j *jsonFile) item(o *jsonObject, p part) error {
	if o.kind == "" {
		var head struct{ APIVersion, Kind string }
		if json.Unmarshal(p.raw, &head) == nil && (head.Kind == "" || head.APIVersion == "") {
			if o.untypedSize += len(p.raw); o.untypedSize > maxDocument {
				return errTooLarge
			}
			o.untyped = append(o.untyped, p)
			return nil
		}
	}
	j.addItem(o, p)
	return nil
}

func (j *jsonFile) addItem(o *jsonObject, p part) {
	apiVersion, kind := objects.ItemType(o.apiVersion, o.kind)
	j.found(objects.Doc{
		JSON: p.raw, Origin: j.origin(p.line), APIVersion: apiVersion, Kind: kind,
		Lines: func() map[string]int {
			out := map[string]int{}
			linesOfJSON(p.raw, "", p.line, out)
			return out
		},
	}, apiVersion, kind)
}

// finish adds an object that has been read to its end.
func (j *jsonFile) finish(o *jsonObject) {
	if o.listed {
		if o.kind != "" && !objects.IsList(o.kind) {
			j.fail(o.line, "an object of kind "+objects.Safe(o.kind)+" cannot have items", "")
			return
		}
		for _, p := range o.untyped {
			j.addItem(o, p)
		}
		return
	}
	j.found(objects.Doc{
		JSON: o.text(), Origin: j.origin(o.line), APIVersion: o.apiVersion, Kind: o.kind,
		Lines: o.lines,
	}, o.apiVersion, o.kind)
}

// text puts the object together again.
func (o *jsonObject) text() []byte {
	var out bytes.Buffer
	for i, p := range o.parts {
		out.WriteByte("{,"[min(i, 1)])
		key, _ := json.Marshal(p.key)
		out.Write(key)
		out.WriteByte(':')
		out.Write(p.raw)
	}
	if len(o.parts) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes()
}

func (o *jsonObject) lines() map[string]int {
	out := map[string]int{}
	for _, p := range o.parts {
		out[p.key] = p.keyLine
		linesOfJSON(p.raw, p.key, p.line, out)
	}
	return out
}
