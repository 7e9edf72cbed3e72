package directory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport.dev/sallyport/internal/source/manifest"
)

// tree is one look at everything that is read for a path.
type tree struct {
	sum    hash.Hash
	latest latest
	seen   map[string]bool // the real paths of directories
	// watch is told where changes are to be heard of, before anything there is looked at: in all of a directory where the name is
	// empty, or of one name in it. Directories are told by their real paths.
	watch func(dir, name string)
}

// latest tells when something was written last, by the clocks of the file systems.
type latest struct {
	file      time.Time // of the files that are read
	directory time.Time // of the directories, in which others may come and go as well
}

// digest tells what is read for a path apart from anything else that may be, the same names with the same bytes having the same
// one, and when something there was written last.
func digest(path string, watch func(dir, name string)) (sum string, last latest) {
	t := &tree{sum: sha256.New(), seen: map[string]bool{}, watch: watch}
	t.trail(path)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		t.note("error", path, reason(err))
	case info.IsDir():
		t.directory(path, info)
	default:
		t.file(path, info)
	}
	return string(t.sum.Sum(nil)), t.latest
}

// keep keeps the later time. One that is still to come says nothing.
func keep(last *time.Time, info fs.FileInfo) {
	if at := info.ModTime(); at.After(*last) && at.Before(time.Now()) {
		*last = at
	}
}

// note adds texts to the digest, each with its length, so that none runs into the next.
func (t *tree) note(texts ...string) {
	for _, s := range texts {
		fmt.Fprintf(t.sum, "%d:%s", len(s), s)
	}
}

func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// directory looks at what manifest reads of a directory: links are followed, and each directory is looked at once.
func (t *tree) directory(dir string, info fs.FileInfo) {
	t.note("directory", dir)
	full, err := real(dir)
	if err != nil {
		t.note("error", reason(err))
		return
	}
	if t.seen[full] {
		return
	}
	t.seen[full] = true
	keep(&t.latest.directory, info)
	t.watch(full, "")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.note("error", reason(err))
		return
	}
	for _, e := range entries {
		t.entry(dir, e)
	}
}

// real gives the path of a directory without any links.
func real(dir string) (string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(full)
}

func (t *tree) entry(dir string, e fs.DirEntry) {
	if manifest.IsHidden(e.Name()) {
		return
	}
	path := filepath.Join(dir, e.Name())
	if e.Type()&fs.ModeSymlink != 0 {
		t.trail(path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		t.note("error", path, reason(err))
	case info.IsDir():
		t.directory(path, info)
	case manifest.Reads(e.Name()):
		t.file(path, info)
	}
}

// file adds the content of a file. What is none, such as a pipe, is not opened: it might wait for ever.
func (t *tree) file(path string, info fs.FileInfo) {
	t.note("file", path)
	if !info.Mode().IsRegular() {
		t.note(info.Mode().Type().String())
		return
	}
	keep(&t.latest.file, info)
	f, err := os.Open(path)
	if err != nil {
		t.note("error", reason(err))
		return
	}
	defer f.Close()
	content := sha256.New()
	if _, err := io.Copy(content, f); err != nil {
		t.note("error", reason(err))
	}
	t.note(string(content.Sum(nil)))
}

// maxLinks is how many links a path may go through, as in the kernel.
const maxLinks = 40

// trail watches every name that a path goes through, those that links lead to as well: whatever of it is made, removed or
// exchanged, it may lead elsewhere then.
func (t *tree) trail(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	at, rest := split(path)
	for links := 0; len(rest) > 0 && links <= maxLinks; {
		name := rest[0]
		rest = rest[1:]
		t.watch(at, name)
		target, err := os.Readlink(filepath.Join(at, name))
		switch {
		case err != nil: // no link, or nothing
			at = filepath.Join(at, name)
		case filepath.IsAbs(target):
			links++
			root, names := split(target)
			at, rest = root, append(names, rest...)
		default:
			links++
			rest = append(parts(target), rest...)
		}
	}
}

// split divides an absolute path into its root and names.
func split(path string) (root string, names []string) {
	root = filepath.VolumeName(path) + string(filepath.Separator)
	return root, parts(strings.TrimPrefix(path, filepath.VolumeName(path)))
}

// parts splits a path into names.
func parts(path string) (out []string) {
	for name := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if name != "" && name != "." {
			out = append(out, name)
		}
	}
	return out
}
