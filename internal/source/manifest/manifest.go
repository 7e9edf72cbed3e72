package manifest

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects"
)

// Options say what to read.
type Options struct {
	Files     []string  // files, directories (read recursively) or "-" for Stdin
	Kustomize []string  // kustomize directories
	Stdin     io.Reader // read where Files has "-"
	// DefaultNamespace is for objects that name none; empty means "default" (S1).
	DefaultNamespace string
	// SkipUnreadable lists what cannot be read in Snapshot.Unreadable instead of failing (S2).
	SkipUnreadable bool
	// Layer: everything read lies over what was read into lower layers.
	Layer int
}

// Read gives the Snapshot of everything the options name. The error is objects.InputErrors, with
// all problems of the whole input.
func Read(o Options) (*cluster.Snapshot, error) {
	b := objects.NewBuilder(objects.Options{DefaultNamespace: o.DefaultNamespace, SkipUnreadable: o.SkipUnreadable})
	if err := Load(b, o); err != nil {
		return nil, err
	}
	return b.Build()
}

// Load adds the objects of everything the options name to a Builder, which may hold a cluster's
// objects already or be given them later. It fails only where there is nothing to read; problems of
// what was read come from b.Build. DefaultNamespace and SkipUnreadable of the Builder count.
func Load(b *objects.Builder, o Options) error {
	r := &reader{b: b, stdin: o.Stdin, layer: o.Layer, done: map[string]bool{}}
	before := b.Seen()
	for _, path := range o.Files {
		r.path(path)
	}
	for _, dir := range o.Kustomize {
		r.kustomize(dir)
	}
	if len(r.errors) > 0 {
		return r.errors
	}
	if b.Seen() == before {
		return objects.InputErrors{{Problem: "no Kubernetes object in " + inputName(o),
			Hint: "give files or directories with -f, or a kustomize directory with -k"}}
	}
	return nil
}

func inputName(o Options) string {
	var names []string
	for _, n := range slices.Concat(o.Files, o.Kustomize) {
		names = append(names, objects.Safe(n))
	}
	return cmp.Or(strings.Join(names, ", "), "the input: nothing was given to read")
}

// reader is one Load.
type reader struct {
	b      *objects.Builder
	stdin  io.Reader
	layer  int
	done   map[string]bool // real paths of files and directories already read
	errors objects.InputErrors
}

// missing records that an input cannot be opened. That is bad usage, which skipping does not excuse.
func (r *reader) missing(path, problem, hint string) {
	r.errors = append(r.errors, &objects.InputError{Origin: cluster.Origin{File: path}, Problem: problem, Hint: hint})
}

// fail records that a part of a file cannot be read.
func (r *reader) fail(o cluster.Origin, problem, hint string) {
	r.b.Fail(&objects.InputError{Origin: o, Problem: problem, Hint: hint})
}

// path reads one argument of -f.
func (r *reader) path(path string) {
	if path == "-" {
		if r.stdin == nil {
			r.missing("stdin", "there is no standard input to read", "")
			return
		}
		r.stream("stdin", r.stdin, false)
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		r.missing(path, reason(err), "")
		return
	}
	if !info.IsDir() {
		r.file(path)
		return
	}
	if found := r.directory(path); found == 0 {
		hint := "only *.yaml, *.yml and *.json files are read"
		if kustomizationIn(path) != "" {
			hint = "use -k " + path
		}
		r.missing(path, "no manifest in this directory", hint)
	}
}

func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return strings.ToLower(pe.Err.Error())
	}
	return err.Error()
}

// first tells whether a path is met for the first time, whatever links lead to it; that also ends
// loops of links.
func (r *reader) first(path string) bool {
	full, err := filepath.EvalSymlinks(path)
	if err != nil {
		return true // opening it will say why
	}
	if full, err = filepath.Abs(full); err != nil {
		return true
	}
	if r.done[full] {
		return false
	}
	r.done[full] = true
	return true
}

// directory reads a directory with everything below it, in the order of names, and counts the
// manifests it found; one that was read before counts as one. Hidden files and directories are left out.
func (r *reader) directory(dir string) int {
	if !r.first(dir) {
		return 1
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.missing(dir, reason(err), "")
		return 1
	}
	found := 0
	for _, e := range entries {
		if IsHidden(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			r.fail(cluster.Origin{File: path}, reason(err), "")
			continue
		}
		switch {
		case info.IsDir():
			found += r.directory(path)
		case isKustomization(e.Name()):
			r.b.Note(cluster.Origin{File: path}, "not read: this is a kustomization; use -k to apply it")
		case isManifest(e.Name()) && info.Mode().IsRegular():
			found++
			r.file(path)
		}
	}
	return found
}

// IsHidden tells whether a file or directory of that name is left out when a directory is read.
func IsHidden(name string) bool { return strings.HasPrefix(name, ".") }

// Reads tells whether a file of that name has a say when a directory is read: as a manifest, or to be noted as none.
func Reads(name string) bool { return isManifest(name) || isKustomization(name) }

func isManifest(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".yaml" || ext == ".yml" || ext == ".json"
}

func isKustomization(name string) bool {
	return name == "kustomization.yaml" || name == "kustomization.yml" || name == "Kustomization"
}

// IsKustomization tells whether a path is a directory that kustomize can build.
func IsKustomization(path string) bool { return kustomizationIn(path) != "" }

// kustomizationIn gives the path of a directory's kustomization file, or "".
func kustomizationIn(dir string) string {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

func (r *reader) file(path string) {
	if !r.first(path) {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		r.missing(path, reason(err), "")
		return
	}
	defer f.Close()
	r.stream(path, f, strings.EqualFold(filepath.Ext(path), ".json"))
}
