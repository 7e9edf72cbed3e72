package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/kernel"
)

// TestWatchesAnew: where the socket breaks that tells of the node's changes, there is another attempt, each after a longer pause, whatever
// else is to be done.
func TestWatchesAnew(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan struct{})
	close(ended)
	calls := 0
	a := &agent{Config: Config{Log: slog.New(slog.DiscardHandler)}, table: &kernel.Table{}, said: &cluster.Snapshot{}, changes: ended,
		doubt: true, now: true, retry: time.NewTimer(time.Hour), next: time.NewTimer(time.Hour)}
	begun := time.Now()
	a.watch = func() (<-chan struct{}, error) {
		if calls++; calls == 4 {
			cancel()
		}
		return nil, errors.New("no")
	}
	a.loop(ctx)
	if d := time.Since(begun); calls != 4 || d < 7*retryFirst {
		t.Errorf("%d attempts in %v", calls, d)
	}
}

// TestForgets: what is gone does not pile up.
func TestForgets(t *testing.T) {
	a := &agent{}
	for n := range 20 {
		s := &cluster.Snapshot{}
		for i := range 500 { // a job each, with labels that no other has
			name := fmt.Sprintf("j%d-%d", n, i)
			s.Pods = append(s.Pods, cluster.Pod{Namespace: "n", Name: name, Labels: map[string]string{"job": name}})
		}
		a.bring(s)
	}
	if n := len(a.live.Model().Classes()); n > 3_000 {
		t.Errorf("%d classes for 500 pods", n)
	}
}

// TestWarnsOnce: what is amiss is said once, also while the kernel cannot be reached.
func TestWarnsOnce(t *testing.T) {
	var log strings.Builder
	a := &agent{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, warned: map[string]bool{}}
	for range 3 {
		a.hold = map[string]bool{}
		a.warn("that")
	}
	a.settled()
	a.hold = map[string]bool{}
	a.settled()
	a.settled()
	a.warn("that")
	if n, m := strings.Count(log.String(), "msg=that"), strings.Count(log.String(), "no more"); n != 2 || m != 1 {
		t.Errorf("said %d times, and %d times that it is over: %s", n, m, log.String())
	}
}

// TestEvery: a connection to which it cannot be done keeps no other alive; where it can be done to none it ends.
func TestEvery(t *testing.T) {
	for _, c := range []struct {
		fails func(n int) bool
		done  int
		want  string
	}{
		{func(int) bool { return false }, 100, ""},
		{func(n int) bool { return n == 7 }, 99, "no 7"},
		{func(n int) bool { return n%2 == 0 }, 50, "no 0 (and so 49 more)"},
		{func(n int) bool { return n >= 50 }, 50, "no 50 (and so 15 more)"},
	} {
		n, done := 0, 0
		err := every(make([]conntrack.Connection, 100), func(*conntrack.Connection) error {
			if n++; c.fails(n - 1) {
				return fmt.Errorf("no %d", n-1)
			}
			done++
			return nil
		})
		if text := fmt.Sprint(err); done != c.done || (err != nil || c.want != "") && text != c.want {
			t.Errorf("done to %d: %v; it should be %d: %s", done, err, c.done, c.want)
		}
	}
}
