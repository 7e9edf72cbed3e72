package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/names"
)

// progress is a line on a terminal that says what is being done. It appears where something takes more than a
// second, and is gone before anything else is printed. Where standard error is no terminal there is none.
type progress struct {
	mu      sync.Mutex
	w       io.Writer // nil where nothing is shown
	start   time.Time
	doing   string
	shown   bool
	ended   bool
	stop    chan struct{}
	stopped sync.Once
}

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
	eraseLine     = "\r\x1b[K"
)

// newProgress begins to show progress on a writer, if it is a terminal.
func newProgress(w io.Writer) *progress {
	p := &progress{start: time.Now(), stop: make(chan struct{})}
	if isTerminal(w) {
		p.w = w
		go p.run()
	}
	return p
}

func (p *progress) run() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.show()
		}
	}
}

func (p *progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.start)
	if p.ended || p.doing == "" || took < progressAfter {
		return
	}
	p.shown = true
	fmt.Fprintf(p.w, "%s%s (%d s)", eraseLine, names.Safe(p.doing), int(took.Seconds()))
}

// say changes what is being done.
func (p *progress) say(doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = doing
}

// end erases the line; nothing is shown after it.
func (p *progress) end() {
	p.stopped.Do(func() {
		close(p.stop)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		if p.shown {
			fmt.Fprint(p.w, eraseLine)
		}
	})
}

// quietOutput is standard output that ends the progress before anything is written to it.
type quietOutput struct {
	file     *os.File
	progress *progress
}

func (q quietOutput) Write(data []byte) (int, error) {
	q.progress.end()
	return q.file.Write(data)
}

// Stat is that of the file, so that colours are not lost.
func (q quietOutput) Stat() (os.FileInfo, error) { return q.file.Stat() }

type progressKey struct{}

func (p *progress) context() context.Context {
	return context.WithValue(context.Background(), progressKey{}, p)
}

// doing says what a command does now, for people who wait.
func doing(c *cobra.Command, format string, args ...any) {
	if c.Context() == nil { // a completion
		return
	}
	if p, ok := c.Context().Value(progressKey{}).(*progress); ok {
		p.say(fmt.Sprintf(format, args...))
	}
}
