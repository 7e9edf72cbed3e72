package kube

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	kjson "sigs.k8s.io/json"

	"sallyport.dev/sallyport/internal/source/objects"
)

const (
	// maxItem is the largest object that is read; etcd holds none that is near it.
	maxItem = 16 << 20
	// maxFields is how many fields a list may have: it has four.
	maxFields = 32
)

// page is what a page of a list says beside its items.
type page struct {
	apiVersion, kind string
	revision         string
	next             string // the continue token; empty on the last page
	items            int
}

// readPage reads one page of a list and hands over its items one by one, so that memory holds one
// item. The text given to each is valid until it returns. A page that is not whole is an error.
func readPage(body io.Reader, each func(item []byte) error) (*page, error) {
	r := &bounded{r: body, left: maxItem}
	dec := json.NewDecoder(r)
	p := &page{}
	seen := map[string]bool{}
	if err := delim(dec, '{'); err != nil {
		return nil, err
	}
	for dec.More() {
		r.left = maxItem
		t, err := dec.Token()
		if err != nil {
			return nil, inJSON(err)
		}
		key, _ := t.(string)
		if seen[key] {
			return nil, malformedf("the answer has the field %s twice", objects.Safe(key))
		}
		if seen[key] = true; len(seen) > maxFields {
			return nil, malformedf("the answer is no list: it has more than %d fields", maxFields)
		}
		if err := p.field(dec, r, key, each); err != nil {
			return nil, err
		}
	}
	if err := delim(dec, '}'); err != nil {
		return nil, err
	}
	switch _, err := dec.Token(); {
	case err == nil:
		return nil, malformedf("the answer goes on after its end")
	case !errors.Is(err, io.EOF):
		return nil, inJSON(err)
	}
	if !seen["items"] {
		return nil, malformedf("the answer is no list: it has no items")
	}
	return p, nil
}

func (p *page) field(dec *json.Decoder, r *bounded, key string, each func([]byte) error) error {
	if key == "items" {
		return p.list(dec, r, each)
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return inJSON(err)
	}
	var err error
	switch key {
	case "apiVersion":
		err = json.Unmarshal(raw, &p.apiVersion)
	case "kind":
		err = json.Unmarshal(raw, &p.kind)
	case "metadata":
		var m struct {
			ResourceVersion string `json:"resourceVersion"`
			Continue        string `json:"continue"`
		}
		err = kjson.UnmarshalCaseSensitivePreserveInts(raw, &m)
		p.revision, p.next = m.ResourceVersion, m.Continue
	}
	if err != nil {
		return malformedf("%s of the list cannot be decoded: %s", key, objects.SafeText(err.Error()))
	}
	return nil
}

// list reads the items; null is how some servers write none.
func (p *page) list(dec *json.Decoder, r *bounded, each func([]byte) error) error {
	t, err := dec.Token()
	switch {
	case err != nil:
		return inJSON(err)
	case t == nil:
		return nil
	case t != json.Delim('['):
		return malformedf("items is not a list")
	}
	var raw json.RawMessage // reused: one object at a time
	for dec.More() {
		r.left = maxItem // for this object; the decoder reads little ahead
		if err := dec.Decode(&raw); err != nil {
			return inJSON(err)
		}
		if p.items++; p.items > maxObjects {
			return malformedf("more than %d objects", maxObjects)
		}
		if err := each(raw); err != nil {
			return err
		}
	}
	return delim(dec, ']')
}

func delim(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err != nil {
		return inJSON(err)
	}
	if t != want {
		return malformedf("the answer is no list but other JSON")
	}
	return nil
}

// inJSON tells text that is no JSON, which stays what it is, from a body that broke off.
func inJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return malformedf("the answer is not JSON: %s", objects.SafeText(err.Error()))
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bounded fails where more is read for one object than any object needs.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, malformedf("the answer has an object that is larger than %d MiB", maxItem>>20)
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// head is what is looked at of an item here: that it is what was asked for, and its version.
type head struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
	revision   string
}

// headOf reads the head of an item; one that cannot be decoded is for the objects' reader to judge. That
// reader goes by the kind, which therefore counts here whatever the metadata look like.
func headOf(item []byte) head {
	var h head
	if kjson.UnmarshalCaseSensitivePreserveInts(item, &h) != nil {
		return head{}
	}
	var m struct {
		ResourceVersion string `json:"resourceVersion"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(h.Metadata, &m) == nil {
		h.revision = opaque(m.ResourceVersion)
	}
	return h
}

// opaque gives a resource version, which is shown to people, if it looks like one.
func opaque(s string) string {
	if len(s) > 64 || strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") != "" {
		return ""
	}
	return s
}
