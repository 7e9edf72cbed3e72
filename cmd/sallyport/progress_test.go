package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestProgress looks at what would be on a terminal. The clock is turned back, so that nothing waits.
func TestProgress(t *testing.T) {
	var w bytes.Buffer
	p := &progress{w: &w, start: time.Now(), stop: make(chan struct{})}
	p.say("reading a\x1b[31m")
	p.show()
	if w.Len() > 0 {
		t.Errorf("within the first second: %q", w.String())
	}
	p.start = p.start.Add(-3 * time.Second)
	p.show()
	if got := w.String(); !strings.HasPrefix(got, eraseLine+`reading a\x1b[31m (3 s)`) {
		t.Errorf("%q", got)
	}
	p.end()
	if got := w.String(); !strings.HasSuffix(got, eraseLine) {
		t.Errorf("not erased: %q", got)
	}
	w.Reset()
	p.say("reading more") // by a part of the program that does not know
	p.show()
	p.end()
	if w.Len() > 0 {
		t.Errorf("after the end: %q", w.String())
	}
}

// TestNoProgress: what is no terminal sees nothing of it.
func TestNoProgress(t *testing.T) {
	var w bytes.Buffer
	p := newProgress(&w)
	p.say("reading")
	p.start = p.start.Add(-time.Hour)
	p.end()
	if p.w != nil || w.Len() > 0 {
		t.Errorf("%q", w.String())
	}
}
