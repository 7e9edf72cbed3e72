package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects"
)

// maxDocument bounds the memory that one YAML document or one JSON object can cost.
const maxDocument = 32 << 20

// file is one stream of documents.
type file struct {
	name string
	// found is called for every object, failed for what cannot be read at a line.
	found  func(d objects.Doc, apiVersion, kind string)
	failed func(o cluster.Origin, problem, hint string)
}

var errTooLarge = errors.New("too large")

// looksLikeJSON matches the beginning of a JSON object but no YAML flow map or template that people write.
var looksLikeJSON = regexp.MustCompile(`^\s*(\{\s*("|\}|$)|\[)`)

// stream reads a whole file into the Builder. After the header of a saved snapshot its objects
// came from a server, and are a cluster over which other files may lie.
func (r *reader) stream(name string, in io.Reader, isJSON bool) {
	saved := false
	f := &file{name: name, failed: r.fail, found: func(d objects.Doc, apiVersion, kind string) {
		saved = saved || objects.IsSnapshotHeader(apiVersion, kind)
		d.FromServer, d.Layer = saved, r.layerOf(saved)
		r.b.Add(d)
	}}
	f.read(in, isJSON)
}

// layerOf gives the Builder's layer of an object: within each layer of input, files lie over a saved
// snapshot.
func (r *reader) layerOf(saved bool) int {
	if saved {
		return 2 * r.layer
	}
	return 2*r.layer + 1
}

// read finds the objects in a stream of either format.
func (f *file) read(in io.Reader, isJSON bool) {
	br := bufio.NewReaderSize(in, 64<<10)
	head, _ := br.Peek(512)
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		_, _ = br.Discard(3)
		head = head[3:]
	case isUTF16(head):
		f.fail(0, "the file is encoded in UTF-16", "save it as UTF-8")
		return
	}
	if isJSON || looksLikeJSON.Match(head) {
		f.readJSON(br)
		return
	}
	f.readYAML(br, 1)
}

// isUTF16 tells of the marks of UTF-16, or of ASCII text encoded in it.
func isUTF16(head []byte) bool {
	if len(head) < 2 {
		return false
	}
	return head[0] == 0xFE && head[1] == 0xFF || head[0] == 0xFF && head[1] == 0xFE ||
		head[0] == 0 && head[1] != 0 || head[0] != 0 && head[1] == 0
}

func (f *file) origin(line int) cluster.Origin { return cluster.Origin{File: f.name, Line: line} }

func (f *file) fail(line int, problem, hint string) { f.failed(f.origin(line), problem, hint) }
