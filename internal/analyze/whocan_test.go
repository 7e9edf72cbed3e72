package analyze_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

func drawnReach(rt *rapid.T) *analyze.Reach {
	c := world.Cases(0).Draw(rt, "case")
	m := policy.Compile(c.World.Snapshot(), policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs})
	space := m.Space()
	var outside []policy.Region
	for _, w := range space.Whole() {
		outside = append(outside, space.Regions(w)...)
	}
	return analyze.New(m, space, analyze.Options{Outside: outside})
}

// TestWhoCanLaw compares who-can with the rows it speaks of: each port of a row that is not denied is listed
// once under its verdict, and each allowed one has a decision that is allowed.
func TestWhoCanLaw(t *testing.T) {
	listed := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 2*time.Second, 12)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r := drawnReach(rt)
			to := rapid.IntRange(0, len(r.Parties)-1).Draw(rt, "to")
			var asked netset.PortSet
			asked.Add(netset.TCP, netset.PortRange{First: 79, Last: 8080})
			asked.Add(netset.Other, netset.PortRange{})
			got := map[int]netset.PortSet{}
			for _, a := range r.WhoCan([]analyze.Target{{Party: to, Ports: asked}}) {
				listed[a.Verdict]++
				if !a.Ports.Intersect(got[a.From]).Empty() {
					rt.Fatalf("%v is listed twice", a.Ports)
				}
				got[a.From] = got[a.From].Union(a.Ports)
				if a.Verdict == "allowed" && a.Decision.Verdict != flow.Allowed {
					rt.Fatalf("an allowed access is shown by a flow that is %v", a.Decision.Verdict)
				}
			}
			for from := range r.Parties {
				row, ok := r.Between(from, to)
				if r.Parties[from].External && r.Parties[to].External || !ok {
					continue
				}
				open := row.Allowed.Union(row.Partial).Union(row.Ambiguous).Union(row.Unknown).Intersect(asked)
				if !open.Equal(got[from]) {
					rt.Fatalf("%s → %s: open %v, listed %v", r.Parties[from].Name, r.Parties[to].Name, open, got[from])
				}
			}
		})
	}
	for _, v := range []string{"allowed", "partial", "unknown"} {
		if listed[v] == 0 {
			t.Errorf("no access was %s: %v", v, listed)
		}
	}
}

// TestSpreadLaw compares the steps with a closure computed without layers, and walks every path.
func TestSpreadLaw(t *testing.T) {
	reached, deep := 0, 0
	for end := time.Now().Add(world.Soak(t, 2*time.Second, 12)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r := drawnReach(rt)
			start := rapid.IntRange(0, len(r.Parties)-1).Draw(rt, "start")
			steps := r.Spread(start)
			sure, any := closure(r, start, true), closure(r, start, false)
			for _, s := range steps {
				reached++
				deep = max(deep, s.Depth)
				if !any[s.Party] || s.Sure != sure[s.Party] {
					rt.Fatalf("%s: sure is %v, closure says %v and %v", r.Parties[s.Party].Name, s.Sure, sure[s.Party], any[s.Party])
				}
				walk(rt, r, start, analyze.Path(steps, s.Party))
				delete(any, s.Party)
			}
			if delete(any, start); len(any) > 0 {
				rt.Fatalf("%d parties are reachable and not among the steps", len(any))
			}
		})
	}
	if reached == 0 || deep < 3 {
		t.Errorf("%d steps, at most %d deep: too little was compared", reached, deep)
	}
}

// closure adds whatever one party opens to another until nothing is added.
func closure(r *analyze.Reach, start int, sure bool) map[int]bool {
	in := map[int]bool{start: true}
	for grown := true; grown; {
		grown = false
		for from := range in {
			if r.Parties[from].External {
				continue
			}
			for to := range r.Parties {
				row, ok := r.Between(from, to)
				if !ok || in[to] {
					continue
				}
				if open := !row.Allowed.Empty(); open || !sure && !row.Empty() {
					in[to], grown = true, true
				}
			}
		}
	}
	return in
}

// walk follows a path: it begins at the start, each step leaves where the one before it arrived, and a sure
// path is of connections that are allowed.
func walk(t *rapid.T, r *analyze.Reach, start int, path []analyze.Step) {
	at := start
	for i, s := range path {
		if s.Via != at || s.Depth != i+1 {
			t.Fatalf("step %d leaves %d at depth %d, and the path is at %d", i, s.Via, s.Depth, at)
		}
		e := s.Ports.Entries()[0]
		for _, f := range r.Flows(s.Via, s.Party) {
			if f.Proto = e.Proto; e.Proto != netset.Other {
				f.Port = e.Range.First
			}
			if v := eval.Verdict(r.Model(), &f); s.Sure && v != flow.Allowed {
				t.Fatalf("a sure step is %v for %+v", v, f)
			}
		}
		at = s.Party
	}
}
