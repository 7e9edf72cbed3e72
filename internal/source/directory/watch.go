package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
)

// times say how long to wait.
type times struct {
	quiet time.Duration // after a change, for the next one: people and programs write files in several steps
	most  time.Duration // where changes do not end
	again time.Duration // until the next look, whatever is heard: words get lost, and some file systems have none
	deaf  time.Duration // the same where not everything can be watched, of which the system allows so much
}

var usual = times{quiet: 50 * time.Millisecond, most: time.Second, again: 30 * time.Second, deaf: time.Second}

// Watch reads what is at a path, a directory with everything below it or a file, and reads it again when it changes; load is what
// reads it, and is called by one goroutine at a time. The first Update comes when it has been read or could not be; another one
// when something else counts, or something else is wrong. Whoever is slow gets the last one. The channel is closed when the context
// ends.
//
// A file counts when it has not been written to for a moment; one that is written to all the time is an error, and so it is that
// nothing is there. Who writes a file in steps with long pauses has each step read as if it were the last: whole files are moved to
// where they are read.
func Watch(ctx context.Context, path string, load func() (*cluster.Snapshot, error)) <-chan cluster.Update {
	return watch(ctx, path, load, usual, fsnotify.NewWatcher)
}

func watch(ctx context.Context, path string, load func() (*cluster.Snapshot, error), t times, open func() (*fsnotify.Watcher, error)) <-chan cluster.Update {
	w := &watcher{path: path, load: load, times: t, open: open}
	out := make(chan cluster.Update)
	go func() {
		defer close(out)
		defer w.close()
		w.run(ctx, out)
	}()
	return out
}

// watcher is one Watch.
type watcher struct {
	path  string
	load  func() (*cluster.Snapshot, error)
	times times
	open  func() (*fsnotify.Watcher, error)

	notify *fsnotify.Watcher          // nil where there is none to be had
	names  map[string]map[string]bool // by directory that is watched, the names that matter; nil: all of them
	deaf   bool                       // something that matters is not watched
	looked time.Time                  // when it was looked last

	good   *cluster.Snapshot // the last
	digest string            // of what it was read from
	told   string            // the error that was told last; empty after a good one
}

func (w *watcher) close() {
	if w.notify != nil {
		_ = w.notify.Close()
	}
}

// run waits for changes and for time to pass.
func (w *watcher) run(ctx context.Context, out chan<- cluster.Update) {
	var pending *cluster.Update
	change := pause{first: time.Now(), last: time.Now()}
	for {
		var send chan<- cluster.Update
		var update cluster.Update
		if pending != nil {
			send, update = out, *pending
		}
		timer := time.NewTimer(time.Until(w.next(change)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case send <- update:
			pending = nil
		case e := <-w.events():
			if w.concerns(e) {
				change.touch(time.Now())
			}
		case <-w.errors(): // words were lost
			change.touch(time.Now())
		case <-timer.C:
			if change.first.IsZero() { // something may just be being written, as at any other time
				change.touch(time.Now())
				break
			}
			if u := w.look(&change); u != nil {
				pending = u
			}
		}
		timer.Stop()
	}
}

// pause is a wait for changes to end; without any where first is zero.
type pause struct{ first, last time.Time }

func (p *pause) touch(now time.Time) {
	if p.first.IsZero() {
		p.first = now
	}
	p.last = now
}

// end tells when it has been quiet for long enough, or not quiet for too long.
func (p *pause) end(t times) time.Time {
	if end := p.last.Add(t.quiet); end.Before(p.first.Add(t.most)) {
		return end
	}
	return p.first.Add(t.most)
}

// next tells when to look, or to begin to wait for it.
func (w *watcher) next(change pause) time.Time {
	switch {
	case !change.first.IsZero():
		return change.end(w.times)
	case w.deaf:
		return w.looked.Add(w.times.deaf)
	}
	return w.looked.Add(w.times.again)
}

func (w *watcher) events() chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

func (w *watcher) errors() chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

// concerns tells whether an event is about something that matters.
func (w *watcher) concerns(e fsnotify.Event) bool {
	only, watched := w.names[filepath.Dir(e.Name)]
	return watched && (only == nil || only[filepath.Base(e.Name)])
}

// look reads what is there if it is something else than what counts. It gives nil where there is nothing to say, and goes on
// waiting where something was written just now: a file that is written in steps may look complete after each of them.
func (w *watcher) look(change *pause) *cluster.Update {
	w.looked = time.Now()
	before, _ := w.sum()
	if before == w.digest && w.told == "" && w.good != nil {
		*change = pause{}
		return nil
	}
	s, err := w.load()
	after, last := w.sum()
	now := time.Now()
	unsettled := after != before || now.Sub(last.file) < w.times.quiet
	if (unsettled || now.Sub(last.directory) < w.times.quiet) && now.Sub(change.first) < w.times.most {
		change.touch(now)
		return nil
	}
	*change = pause{}
	if unsettled {
		change.touch(now)
		s, err = nil, fmt.Errorf("%s: files in it change all the time (hint: write them elsewhere and move them here)", names.Safe(w.path))
	}
	return w.result(s, err, before)
}

// result keeps what was read and gives what is to be told of it.
func (w *watcher) result(s *cluster.Snapshot, err error, digest string) *cluster.Update {
	if err == nil {
		w.good, w.digest, w.told = s, digest, ""
		return &cluster.Update{Snapshot: s}
	}
	if err.Error() == w.told {
		return nil
	}
	w.told = err.Error()
	return &cluster.Update{Snapshot: w.good, Err: err}
}

// sum watches everything that is read and gives its digest.
func (w *watcher) sum() (sum string, last latest) {
	if w.notify == nil {
		w.notify, _ = w.open() // without one it is looked more often
	}
	w.deaf = w.notify == nil
	w.names = map[string]map[string]bool{}
	sum, last = digest(w.path, w.watch)
	if w.notify != nil {
		for _, dir := range w.notify.WatchList() {
			if _, watched := w.names[dir]; !watched {
				_ = w.notify.Remove(dir) // it may have gone by itself
			}
		}
	}
	return sum, last
}

// watch has changes in a directory heard: of everything where the name is empty. It is asked for again each time, as another
// directory may have taken the place of one.
func (w *watcher) watch(dir, name string) {
	only, watched := w.names[dir]
	switch {
	case name == "":
		w.names[dir] = nil
	case !watched:
		w.names[dir] = map[string]bool{name: true}
	case only != nil:
		only[name] = true
	}
	if watched || w.notify == nil {
		return
	}
	if err := w.notify.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.deaf = true
	}
}
