package failure

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
)

// Target is what is protected: a party of a Reach, on some ports.
type Target struct {
	Party int
	Ports netset.PortSet
}

// Standing is how a path stands now (L52).
type Standing uint8

// The standings, the weakest first.
const (
	Open     Standing = iota + 1 // no gate surely stops it
	Single                       // one gate does
	Defended                     // two or more do
)

// String gives a word for people.
func (s Standing) String() string { return [...]string{"", "open", "single point", "defended"}[s] }

// Finding is the weakest path from one party to a target.
type Finding struct {
	From, To int // parties
	Ports    netset.PortSet
	Standing Standing
	Path     Path
	// Flow shows it, and may be asked of Service by name (or layers.ByAddress).
	Flow    flow.Flow
	Service int
}

// maxPaths bounds how many different paths are looked at for failures in one survey.
const maxPaths = 2000

// Survey looks at every source of some targets.
type Survey struct {
	Findings []Finding
	// Skipped counts the paths for which no failures were looked for, because there were too many.
	Skipped int
	// BoundAnywhere: some Azure identity goes to pods of any namespace by a label (L56).
	BoundAnywhere bool
}

// Survey finds the weakest path from every party to each target.
func (w *Finder) Survey(r *analyze.Reach, targets []Target) Survey {
	out := Survey{BoundAnywhere: w.l.BoundAnywhere()}
	known := map[string]*Path{}
	for _, t := range targets {
		for from := range r.Parties {
			if r.Unasked(from, t.Party) {
				continue
			}
			f, ok := w.weakest(r, from, t)
			if !ok {
				continue
			}
			if f.Standing != Open {
				w.look(&f, known, &out.Skipped)
			}
			out.Findings = append(out.Findings, f)
		}
	}
	return out
}

// look finds the failures that open a path; paths that nothing tells apart are looked at once.
func (w *Finder) look(f *Finding, known map[string]*Path, skipped *int) {
	key := w.key(f)
	if p, ok := known[key]; ok {
		f.Path = *p
		return
	}
	if len(known) >= maxPaths {
		*skipped++
		f.Path.Cut = true
		return
	}
	f.Path = w.Path(&f.Flow, f.Service)
	known[key] = &f.Path
}

// key is equal for paths on which everything that decides is the same.
func (w *Finder) key(f *Finding) string {
	snap := w.m.Snapshot()
	end := func(e flow.End) string {
		switch e.Kind {
		case flow.Pod:
			p := &snap.Pods[e.Index]
			return fmt.Sprint("pod ", w.m.ClassOf(e.Index), w.l.Source(e.Index), w.l.Target(e.Index), p.HostNetwork, p.NodeName, p.Addrs, p.Namespace, p.Account)
		case flow.Node:
			return fmt.Sprint("node ", e.Index)
		}
		return e.Addr.String()
	}
	return fmt.Sprint(end(f.Flow.From), "|", end(f.Flow.To), "|", f.Flow.Family, f.Flow.Proto, f.Flow.Port, f.Service)
}

// weakest finds the path that the fewest gates stop, and the ports on which that is so.
func (w *Finder) weakest(r *analyze.Reach, from int, t Target) (Finding, bool) {
	out := Finding{From: from, To: t.Party, Service: r.Parties[t.Party].Service - 1}
	found := false
	for _, f := range r.Samples(from, t.Party) {
		for _, e := range r.Pieces(&f, t.Ports) {
			if out.Service >= 0 && !w.l.Serves(out.Service, e.Proto, e.Range.First) {
				continue
			}
			f.Proto, f.Port = e.Proto, e.Range.First
			d := w.Decide(&f, out.Service)
			switch weaker := !found || better(&d, &out.Path.Decision); {
			case weaker:
				found = true
				out.Path, out.Flow, out.Ports = Path{Decision: d}, f, netset.PortSet{}
				out.Ports.Add(e.Proto, e.Range)
			case slices.Equal(d.Gates(), out.Path.Decision.Gates()) && d.Works() == out.Path.Decision.Works():
				out.Ports.Add(e.Proto, e.Range)
			}
		}
	}
	out.Standing = standingOf(&out.Path.Decision)
	return out, found
}

func standingOf(d *layers.Decision) Standing {
	return min(Standing(len(d.Gates())), 2) + Open
}

// Shared lists the single failures under which more than one of a path's gates no longer stops it (L55).
func (p *Path) Shared() []Left {
	var out []Left
	for i := range p.Under {
		if len(p.Fallen(&p.Under[i])) > 1 {
			out = append(out, p.Under[i])
		}
	}
	return out
}

// Fallen lists the gates of a path that no longer stop it under a failure.
func (p *Path) Fallen(u *Left) []layers.Gate {
	var out []layers.Gate
	for _, g := range p.Decision.Gates() {
		if !slices.Contains(u.Gates, g) {
			out = append(out, g)
		}
	}
	return out
}
