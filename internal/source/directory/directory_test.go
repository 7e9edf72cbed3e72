package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/manifest"
)

// patience bounds how long a test waits for what should come soon.
const patience = 20 * time.Second

// policy is a manifest of one policy.
func policy(name string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + "}\nspec: {podSelector: {}}\n"
}

// place is a directory that is watched, or will be one.
type place struct {
	t    *testing.T
	path string
	c    <-chan cluster.Update
}

// watched watches a path below a new directory.
func watched(t *testing.T, path string) *place {
	t.Helper()
	p := &place{t: t, path: filepath.Join(t.TempDir(), path)}
	p.start()
	return p
}

func (p *place) start() { p.c = Watch(p.t.Context(), p.path, p.read) }

func (p *place) read() (*cluster.Snapshot, error) {
	return manifest.Read(manifest.Options{Files: []string{p.path}})
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// write writes a file below the directory that p.path is in, making folders.
func (p *place) write(name, text string) {
	p.t.Helper()
	name = filepath.Join(filepath.Dir(p.path), name)
	p.must(os.MkdirAll(filepath.Dir(name), 0o755))
	p.must(os.WriteFile(name, []byte(text), 0o644))
}

func (p *place) at(name string) string { return filepath.Join(filepath.Dir(p.path), name) }

// words gives an Update in words: the policies that count, and a part of the error.
func words(u cluster.Update) string {
	out := "nothing"
	if u.Snapshot != nil {
		var names []string
		for _, x := range u.Snapshot.NetworkPolicies {
			names = append(names, x.Object.Name)
		}
		out = strings.Join(names, " ")
	}
	if u.Err != nil {
		out += "; " + u.Err.Error()
	}
	return out
}

// says waits for the next Update: the policies that count, and behind a semicolon a part of the error.
func (p *place) says(what, want string) {
	p.t.Helper()
	names, problem, _ := strings.Cut(want, "; ")
	select {
	case u := <-p.c:
		got := words(u)
		if gotNames, gotProblem, _ := strings.Cut(got, "; "); gotNames != names || (problem == "") != (gotProblem == "") || !strings.Contains(gotProblem, problem) {
			p.t.Errorf("%s: %q, and it should be %q", what, got, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("%s: nothing is said, and it should be %q", what, want)
	}
}

// TestChanges: whatever people and programs do to a directory is seen, and what cannot be read does not count.
func TestChanges(t *testing.T) {
	p := watched(t, "d")
	p.says("nothing there", "nothing; no such file or directory")
	p.must(os.Mkdir(p.path, 0o755))
	p.says("an empty directory", "nothing; no manifest in this directory")
	p.write("d/a.yaml", policy("a"))
	p.says("a file", "a")
	p.write("d/b.yaml", policy("b"))
	p.says("another", "a b")
	p.write("d/.c.yaml.swp", "")
	p.write("d/c.tmp", policy("c"))
	p.must(os.Rename(p.at("d/c.tmp"), p.at("d/a.yaml")))
	p.says("an editor renames over it", "b c")
	p.must(os.Rename(p.at("d/a.yaml"), p.at("d/a.yaml~")))
	p.write("d/a.yaml", policy("a"))
	p.must(os.Remove(p.at("d/a.yaml~")))
	p.says("another keeps the old one until it is done", "a b")

	p.write("d/new/deep/d.yaml", policy("d"))
	p.says("a folder in a folder", "a b d")
	p.write("d/new/deep/d.yaml", policy("e"))
	p.says("a change in it", "a b e")
	p.must(os.Rename(p.at("d/new"), p.at("old")))
	p.says("it moves out", "a b")
	p.write("old/deep/d.yaml", policy("f"))
	p.must(os.Rename(p.at("old"), p.at("d/new")))
	p.says("and in again, with something else in it", "a b f")
	p.must(os.RemoveAll(p.at("d/new")))
	p.says("it is removed", "a b")

	p.write("d/b.yaml", "kind: [")
	p.says("half a file", "a b; b.yaml:1: this is not YAML")
	p.write("d/b.yaml", strings.Replace(policy("b"), "podSelector", "podSelektor", 1))
	p.says("something else is wrong", "a b; podSelektor")
	p.write("d/b.yaml", policy("b"))
	p.says("as it was", "a b")
	p.write("d/b.yaml", policy("g"))
	p.says("another again", "a g")

	p.must(os.RemoveAll(p.path))
	p.says("all is removed", "a g; no such file or directory")
	p.write("d/a.yaml", policy("h"))
	p.says("and is there again", "h")
	p.write("e/a.yaml", policy("i"))
	p.must(os.Rename(p.path, p.at("gone")))
	p.must(os.Rename(p.at("e"), p.path))
	p.says("another directory takes its place", "i")
	p.write("gone/a.yaml", policy("j"))
	p.write("d/a.yaml", policy("k"))
	p.says("the new one is watched", "k")
}

// TestLinks: what is behind links counts, and what they are on the way to it.
func TestLinks(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "current/policies")}
	link := func(target, name string) { // as Kubernetes and others do it, in one step
		t.Helper()
		p.must(os.Symlink(target, name+".new"))
		p.must(os.Rename(name+".new", name))
	}
	top := filepath.Dir(filepath.Dir(p.path))
	write := func(name, text string) {
		t.Helper()
		p.must(os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755))
		p.must(os.WriteFile(filepath.Join(top, name), []byte(text), 0o644))
	}
	write("v1/policies/..1/a.yaml", policy("a"))
	link("..1", filepath.Join(top, "v1/policies/..data"))
	link("..data/a.yaml", filepath.Join(top, "v1/policies/a.yaml"))
	link("v1", filepath.Join(top, "current"))
	p.start()
	p.says("a ConfigMap", "a")
	write("v1/policies/..2/a.yaml", policy("b"))
	link("..2", filepath.Join(top, "v1/policies/..data"))
	p.says("it changes", "b")
	p.must(os.RemoveAll(filepath.Join(top, "v1/policies/..1")))

	write("elsewhere/c.yaml", policy("c"))
	write("elsewhere/sub/d.yaml", policy("d"))
	link(filepath.Join(top, "elsewhere/c.yaml"), filepath.Join(top, "v1/policies/c.yaml"))
	p.says("a file elsewhere", "b c")
	write("elsewhere/c.yaml", policy("e"))
	p.says("changes there", "b e")
	link("../../elsewhere/sub", filepath.Join(top, "v1/policies/sub"))
	p.says("a directory elsewhere", "b d e")
	write("elsewhere/sub/f.yaml", policy("f"))
	p.says("gets one more file", "b d e f")
	link(".", filepath.Join(top, "v1/policies/circle"))
	link(".", filepath.Join(top, "v1/policies/circle1"))
	link("circle2", filepath.Join(top, "v1/policies/circle2"))
	p.says("links in circles", "b d e f; circle2: too many")
	p.must(os.Remove(filepath.Join(top, "v1/policies/circle2")))
	p.says("only what can be followed", "b d e f")

	write("v2/policies/g.yaml", policy("g"))
	link(filepath.Join(top, "v2"), filepath.Join(top, "current"))
	p.says("a link on the way leads elsewhere", "g")
	write("v2/policies/g.yaml", policy("h"))
	p.says("what it leads to is watched", "h")
	p.must(os.Remove(filepath.Join(top, "current")))
	p.says("it leads nowhere", "h; no such file or directory")
	link("v1", filepath.Join(top, "current"))
	p.says("and back", "b d e f")
}

// TestNotYet: nothing of the path is there, and it may be a single file.
func TestNotYet(t *testing.T) {
	p := watched(t, "x/y/z.yaml")
	p.says("nothing there", "nothing; no such file or directory")
	p.write("z.yaml", policy("a"))
	p.says("a file", "a")
	p.write("z.yaml", policy("b"))
	p.says("it changes", "b")
	p.write("other.yaml", policy("c"))
	p.must(os.RemoveAll(filepath.Dir(filepath.Dir(p.path))))
	p.says("all is gone", "b; no such file or directory")
}

// TestRelative: a path is one from where the program runs.
func TestRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	p := &place{t: t, path: "d"}
	p.write("d/a.yaml", policy("a"))
	p.start()
	p.says("a relative path", "a")
	p.write("d/a.yaml", policy("b"))
	p.says("a change", "b")
	p.path = "."
	p.must(os.WriteFile("c.yaml", []byte(policy("c")), 0o644))
	p.must(os.Symlink("c.yaml", "link.yaml")) // on whose way the directory is once more, by another name
	p.start()
	p.says("the directory itself", "b c")
	p.must(os.WriteFile("c.yaml", []byte(policy("d")), 0o644))
	p.says("a change in it", "b d")
}

// TestUnchanged: what is written anew as it was, and what is not read, is not worth a word, nor read again.
func TestUnchanged(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	var loads atomic.Int32
	p.c = Watch(t.Context(), p.path, func() (*cluster.Snapshot, error) {
		loads.Add(1)
		return p.read()
	})
	p.says("first", "a")
	first := loads.Load()
	for range 5 {
		p.write("d/a.yaml", policy("a"))
		p.must(os.Chtimes(p.at("d/a.yaml"), time.Now(), time.Now()))
		p.write("d/README.md", fmt.Sprint(time.Now()))
		p.write("d/.hidden/b.yaml", policy("b"))
		p.write("beside", "")
		time.Sleep(2 * usual.quiet) // it has time to look
	}
	if n := loads.Load(); n != first {
		t.Errorf("it is read %d times more", n-first)
	}
	p.write("d/a.yaml", policy("c"))
	p.says("the first thing that it says", "c")
}

// TestSameError: an error is said once, until it is another one or gone.
func TestSameError(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", "kind: [")
	var loads atomic.Int32
	p.c = Watch(t.Context(), p.path, func() (*cluster.Snapshot, error) {
		loads.Add(1)
		return p.read()
	})
	p.says("broken", "nothing; this is not YAML")
	p.write("d/a.yaml", "kind: [ # still")
	for n, end := loads.Load(), time.Now().Add(patience); loads.Load() == n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not read again")
		}
	}
	p.write("d/b.yaml", "\xff\xfe")
	p.says("broken in another way", "nothing; UTF-16")
	p.write("d/a.yaml", policy("a"))
	p.must(os.Remove(p.at("d/b.yaml")))
	p.says("well", "a")
	p.write("d/a.yaml", "kind: [")
	p.says("the same error, after all was well", "a; this is not YAML")
}

// TestWhileRead: what is written while it is read does not count, not even where it can be read.
func TestWhileRead(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	past := time.Now().Add(-time.Hour) // the time of the file does not tell
	p.must(os.Chtimes(p.at("d/a.yaml"), past, past))
	steps := 5
	p.c = Watch(t.Context(), p.path, func() (*cluster.Snapshot, error) {
		s, err := p.read()
		if steps--; steps >= 0 {
			p.write("d/a.yaml", policy("a")+strings.Repeat("# and\n", 5-steps)+"---\n"+policy(fmt.Sprint("b", 5-steps)))
			p.must(os.Chtimes(p.at("d/a.yaml"), past, past))
		}
		return s, err
	})
	p.says("only the whole file counts", "a b5")
}

// TestNeverQuiet: what changes all the time is an error until it stops, and what counted goes on counting.
func TestNeverQuiet(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	var stop atomic.Bool
	stop.Store(true)
	n := 0
	p.c = Watch(t.Context(), p.path, func() (*cluster.Snapshot, error) {
		s, err := p.read()
		if n++; !stop.Load() {
			p.write("d/a.yaml", policy(fmt.Sprint("a", n)))
		}
		return s, err
	})
	p.says("first", "a")
	stop.Store(false)
	p.write("d/a.yaml", policy("b"))
	p.says("all the time", "a; files in it change all the time")
	stop.Store(true)
	p.must(os.Remove(p.at("d/a.yaml")))
	p.write("d/z.yaml", policy("z"))
	p.says("no more", "z")
}

// TestJustWritten: a file that was written just now is read once more later, as there may be more to come.
func TestJustWritten(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	w := &watcher{path: p.path, load: p.read, times: times{quiet: time.Hour, most: 2 * time.Hour}, open: fsnotify.NewWatcher}
	defer w.close()
	const counts, waits, fails = "counts", "waits", "fails"
	for _, c := range []struct {
		what                   string
		since, file, directory time.Duration // since the first change, and since they were written
		want                   string
	}{
		{"long ago", 0, 3 * time.Hour, 3 * time.Hour, counts},
		{"just now", 0, 0, 3 * time.Hour, waits},
		{"something came or went just now", 0, 3 * time.Hour, 0, waits},
		{"just now, and all the time", 3 * time.Hour, 0, 3 * time.Hour, fails},
		{"other things come and go all the time", 3 * time.Hour, 3 * time.Hour, 0, counts},
		{"by a clock that goes ahead", 0, -time.Hour, -time.Hour, counts},
	} {
		for name, ago := range map[string]time.Duration{"d/a.yaml": c.file, "d": c.directory} {
			at := time.Now().Add(-ago)
			p.must(os.Chtimes(p.at(name), at, at))
		}
		change := pause{first: time.Now().Add(-c.since), last: time.Now()}
		w.good, w.digest, w.told = nil, "", ""
		got := waits
		if u := w.look(&change); u != nil {
			if got = counts; u.Err != nil {
				got = fails
			}
		}
		if got != c.want || change.first.IsZero() != (got == counts) {
			t.Errorf("%s: it %s, and should be %s; it goes on looking: %v", c.what, got, c.want, !change.first.IsZero())
		}
	}
}

// TestSlowWriter: a file that grows for longer than anybody waits never counts before it is whole.
func TestSlowWriter(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	p.start()
	p.says("first", "a")
	f, err := os.Create(p.at("d/a.yaml"))
	p.must(err)
	defer f.Close()
	start, longest := time.Now(), time.Duration(0)
	last := start
	for i := 0; time.Since(start) < 2*usual.most; i++ {
		_, err := f.WriteString(policy(fmt.Sprint("b", i)) + "---\n")
		p.must(err)
		longest, last = max(longest, time.Since(last)), time.Now()
		time.Sleep(usual.quiet / 10)
	}
	_, err = f.WriteString(policy("z"))
	p.must(err)
	for {
		select {
		case u := <-p.c:
			if got := words(u); strings.HasSuffix(got, " z") {
				return
			} else if !(strings.HasPrefix(got, "a; ") && strings.Contains(got, "files in it change all the time")) && longest < usual.quiet/2 { // else this machine paused as writers may not
				t.Fatalf("%.100s counts", got)
			}
		case <-time.After(patience):
			t.Fatal("the whole file does not count")
		}
	}
}

// TestSlowReader: who is slow gets what counts at last, and what is wrong with what came after it.
func TestSlowReader(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	read := make(chan string, 100)
	p.c = Watch(t.Context(), p.path, func() (*cluster.Snapshot, error) {
		s, err := p.read()
		read <- words(cluster.Update{Snapshot: s, Err: err})
		return s, err
	})
	until := func(want string) {
		t.Helper()
		for end := time.After(patience); ; {
			select {
			case got := <-read:
				if strings.Contains(got, want) {
					return
				}
			case <-end:
				t.Fatalf("%q is not read", want)
			}
		}
	}
	until("a")
	p.write("d/a.yaml", policy("b"))
	until("b")
	time.Sleep(4 * usual.quiet) // so that it counts; were it too short, the error would stand with less
	p.write("d/a.yaml", "kind: [")
	until("not YAML")
	time.Sleep(4 * usual.quiet)
	p.says("the last", "b; not YAML")
}

// TestDeaf: where nothing can be watched it is looked more often.
func TestDeaf(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.write("d/a.yaml", policy("a"))
	fast := times{quiet: 10 * time.Millisecond, most: time.Second, again: time.Hour, deaf: 20 * time.Millisecond}
	p.c = watch(t.Context(), p.path, p.read, fast, func() (*fsnotify.Watcher, error) { return nil, errors.New("too many") })
	p.says("first", "a")
	p.write("d/a.yaml", policy("b"))
	p.says("a change", "b")
}

// TestLost: what was not heard is found all the same: at once where it is known that something was lost, else in the end.
func TestLost(t *testing.T) {
	for _, c := range []struct {
		what  string
		again time.Duration
		known bool
	}{{"in the end", 20 * time.Millisecond, false}, {"at once", time.Hour, true}} {
		p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
		p.write("d/a.yaml", policy("a"))
		lost := make(chan error, 1)
		lossy := times{quiet: 10 * time.Millisecond, most: time.Second, again: c.again, deaf: time.Hour}
		p.c = watch(t.Context(), p.path, p.read, lossy, func() (*fsnotify.Watcher, error) {
			w, err := fsnotify.NewWatcher()
			if err == nil {
				w.Events, w.Errors = make(chan fsnotify.Event), lost // nothing else comes of it
			}
			return w, err
		})
		p.says("first", "a")
		p.write("d/a.yaml", policy("b"))
		if c.known {
			lost <- fsnotify.ErrEventOverflow
		}
		p.says(c.what, "b")
	}
}

func TestPause(t *testing.T) {
	now := time.Now()
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	var p pause
	for _, c := range []struct{ touched, end int }{{0, 50}, {10, 60}, {500, 550}, {980, 1000}, {2000, 1000}} {
		p.touch(at(c.touched))
		if got := p.end(usual); !got.Equal(at(c.end)) {
			t.Errorf("touched at %d ms: it ends after %v", c.touched, got.Sub(now))
		}
	}
}

// TestConcerns: of the directories on the way to the path only the way itself matters.
func TestConcerns(t *testing.T) {
	top := t.TempDir()
	p := &place{t: t, path: filepath.Join(top, "d")}
	p.write("d/sub/a.yaml", policy("a"))
	w := &watcher{path: p.path, load: p.read, times: usual, open: fsnotify.NewWatcher}
	defer w.close()
	w.sum()
	if w.deaf {
		t.Error("not all can be watched")
	}
	real, err := filepath.EvalSymlinks(top)
	p.must(err)
	for name, want := range map[string]bool{"d": true, "other": false, "d/x": true, "d/sub/..data": true, "d/sub": true, "other/x": false} {
		if got := w.concerns(fsnotify.Event{Name: filepath.Join(real, name)}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if n := len(w.notify.WatchList()); n != len(w.names) {
		t.Errorf("%d directories are watched, and %d matter", n, len(w.names))
	}
	p.must(os.Rename(p.at("d/sub"), p.at("sub")))
	w.sum()
	if n := len(w.notify.WatchList()); n != len(w.names) {
		t.Errorf("after one has gone %d directories are watched, and %d matter", n, len(w.names))
	}
}

// TestDigest: names and contents do not run into each other, and what cannot be opened makes no one wait.
func TestDigest(t *testing.T) {
	note := func(texts ...string) string {
		x := tree{sum: sha256.New()}
		x.note(texts...)
		return string(x.sum.Sum(nil))
	}
	if note("a", "bc") == note("ab", "c") {
		t.Error("texts run into each other")
	}
	seen := map[string]string{}
	for _, c := range []map[string]string{
		{}, {"a.yaml": ""}, {"a.yaml": "1"}, {"b.yaml": "1"}, {"a.yaml": "1", "b.yaml": ""}, {"a.yaml": "", "b.yaml": "1"}, {"a.yaml": "b.yaml1"}, {"d/a.yaml": "1"},
		{"a.yaml": "1", "kustomization.yaml": ""},
	} {
		p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
		p.must(os.Mkdir(p.path, 0o755))
		for name, text := range c {
			p.write("d/"+name, text)
		}
		t.Chdir(filepath.Dir(p.path))
		sum, _ := digest("d", func(string, string) {})
		if before, there := seen[sum]; there {
			t.Errorf("%v is taken for %s", c, before)
		}
		seen[sum] = fmt.Sprint(c)
	}
}

// TestEnds: when the context ends the channel is closed, and nothing is left: no goroutine, and no file descriptor.
func TestEnds(t *testing.T) {
	p := watched(t, "d")
	p.says("nothing there", "nothing; no such file")
	goroutines := func() int {
		stacks := make([]byte, 4<<20)
		return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("fsnotify."))
	}
	before := goroutines()
	ctx, cancel := context.WithCancel(t.Context())
	var all []<-chan cluster.Update
	for range 20 {
		all = append(all, Watch(ctx, p.path, p.read))
	}
	<-all[19]
	if goroutines() == before {
		t.Error("the comparison is of nothing")
	}
	cancel()
	for _, c := range all {
		for range c { // what was to be said
		}
	}
	for end := time.Now().Add(patience); goroutines() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("goroutines are left")
		}
	}
}
