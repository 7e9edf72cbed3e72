package program

import (
	"slices"

	"sallyport.dev/sallyport/internal/flow"
)

// hooks makes the chains that packets come by. They hang on which maps have anything in them.
func (b *builder) hooks() {
	open := []Rule{
		{Match: Revoked, Verdict: Verdict{Goto, "revoked"}}, // the first of all, for what is revoked is established as well
		{Match: Established, Verdict: Verdict{Act: Accept}},
		{Match: RelatedError, Set: errorProtocols, Verdict: Verdict{Act: Accept}},
		{Match: NeighbourTalk, Set: neighbourTypes, Verdict: Verdict{Act: Accept}},
		{Match: ListenerTalk, Set: listenerTypes, Verdict: Verdict{Act: Accept}},
	}
	const unknown = "closed_interface"
	b.e.chain(unknown, 0, []Rule{denied("interface", "an interface that is no uplink and no pod's")})
	b.e.chain("revoked", 0, []Rule{relabelled(denied("revoked", "a connection that policies allowed and do not any more"))})
	b.e.chain("strays", 0, b.strays())
	b.e.chain("sources", 0, []Rule{
		{Verdict: Verdict{Jump, "strays"}},
		{Match: InterfaceAndIP4, Set: sources[0], Verdict: Verdict{Act: Return}},
		{Match: InterfaceAndIP6, Set: sources[1], Verdict: Verdict{Act: Return}},
		denied("source", "not an address of the pod that it comes from"),
	})
	b.e.chain("targets", 0, []Rule{
		{Verdict: Verdict{Jump, "strays"}},
		{Match: TargetAndIP4, Set: sources[0], Verdict: Verdict{Act: Return}},
		{Match: TargetAndIP6, Set: sources[1], Verdict: Verdict{Act: Return}},
		denied("target", "an address that is not known to be that pod's, which no policy could be asked about"),
	})
	strange := Rule{Match: FromInterface, Set: interfaces, Negated: true, Verdict: Verdict{Goto, unknown}, Comment: "a pod that is not programmed yet"}
	own := Rule{Match: FromInterface, Set: podInterfaces, Verdict: Verdict{Jump, "sources"}}
	forward := slices.Concat(open, []Rule{strange, {Match: ToInterface, Set: interfaces, Negated: true, Verdict: Verdict{Goto, unknown}}, own,
		{Match: ToInterface, Set: podInterfaces, Verdict: Verdict{Jump, "targets"}}})
	input := slices.Concat(open, []Rule{{Match: FromLoopback, Verdict: Verdict{Act: Accept}}, strange, own})
	output := slices.Concat(open, []Rule{{Match: ToInterface, Set: podInterfaces, Verdict: Verdict{Jump, "strays"}}})
	for _, d := range flow.Directions {
		for f := range addrKey {
			forward = append(forward, b.dispatch(d.String(), d, f)...)
			list := &input
			if d == flow.Ingress {
				list = &output
			}
			*list = append(*list, b.dispatch("node_"+d.String(), d, f)...)
		}
	}
	b.e.chain("forward", Forward, forward)
	b.e.chain("input", Input, input)
	b.e.chain("output", Output, output)
}

// relabelled sets the label on what has it: that changes nothing, but the kernel gives room for labels to new connections only while
// some rule sets one. A rule that only asks for a label would never find any.
func relabelled(r Rule) Rule {
	r.Match = Relabel
	return r
}

// strays drops TCP from and to pods that belongs to no connection which the kernel knows, and opens none. The kernel takes such a
// packet for the first of a new connection, the other way round where an answer is the first that it sees. Then a connection that
// was cut, and whose entry is gone, would be decided as if the server had opened it, and go on in both directions.
func (b *builder) strays() []Rule {
	if b.n.Unseen {
		return nil
	}
	r := denied("stray", "TCP in the midst of a connection that the kernel does not know, or not any more")
	r.Match = Stray
	return []Rule{r}
}

// dispatch looks the addresses of pods here up, if any is to be found.
func (b *builder) dispatch(name string, d flow.Direction, f int) []Rule {
	name += familyNo[f]
	if o := b.e.sets[name]; o == nil || len(o.elements) == 0 {
		return nil
	}
	return []Rule{{Match: nearMatch[d-1][f], Map: name}}
}
