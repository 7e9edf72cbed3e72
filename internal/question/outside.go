package question

import (
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Layers is what the Snapshot says beside network policies; nil where it says nothing (L1).
func (r *Resolver) Layers() *layers.Model { return r.layers }

// externalService looks a service outside the cluster up.
func (r *Resolver) externalService(ns string, t Term) (End, error) {
	snap := r.Model.Snapshot()
	var others []string
	for i := range snap.External {
		x := &snap.External[i]
		if x.Kind() == t.Kind && x.Name == t.Name && (x.Namespace == ns || x.Namespace == "") {
			return r.outsideEnd(i), nil
		}
		others = append(others, x.String())
	}
	return End{}, errorf(known(others), "no %s %q in the input", t.Kind, t.Name)
}

// known lists at most ten names that may have been meant.
func known(list []string) string {
	const most = 10
	hint := "there is none"
	for i, name := range list {
		switch {
		case i == 0:
			hint = "there is " + name
		case i == most:
			return hint + " and more"
		default:
			hint += ", " + name
		}
	}
	return hint
}

func (r *Resolver) outsideEnd(i int) End {
	x := r.layers.Service(i)
	e := End{Label: x.String(), ExternalService: i + 1, Regions: r.serviceRegions(i, r.space, r.Outside())}
	if len(x.Public) == 0 {
		e.Notes = append(e.Notes, x.String()+" has no cidrs: every address outside the cluster may be its own")
	}
	return e
}

// Services gives the addresses of each service outside as regions of a space; outside are those that one may have which
// names none (L30).
func (r *Resolver) Services(space *policy.Space, outside []policy.Region) [][]policy.Region {
	var out [][]policy.Region
	for i := range r.Model.Snapshot().External {
		out = append(out, r.serviceRegions(i, space, outside))
	}
	return out
}

func (r *Resolver) serviceRegions(i int, space *policy.Space, outside []policy.Region) []policy.Region {
	x := r.layers.Service(i)
	var out []policy.Region
	for _, p := range x.Public {
		out = append(out, space.Regions(p)...)
	}
	if len(x.Public) == 0 {
		out = slices.Clone(outside)
	}
	for _, a := range x.Private {
		out = append(out, space.Regions(netip.PrefixFrom(a, a.BitLen()))...)
	}
	return distinct(out)
}

// distinct drops regions that are in the list already.
func distinct(list []policy.Region) []policy.Region {
	var out []policy.Region
	for _, region := range list {
		if !slices.ContainsFunc(out, func(o policy.Region) bool { return o.Prefix == region.Prefix }) {
			out = append(out, region)
		}
	}
	return out
}

// decided is a decision, and what all layers say; nil where they do not speak.
type decided struct {
	eval.Decision
	layers *layers.Decision
}

// joined asks the other layers; the verdict is then that of all of them.
func (a *asking) joined(d eval.Decision) decided {
	if a.r.layers == nil {
		return decided{Decision: d}
	}
	asked := a.r.layers
	if a.unfiltered && d.Flow.From.Kind != flow.Pod { // the network lets it pass, projections included
		asked = asked.Under(layers.Circumstances{IngressOff: true, As: layers.Itself})
	}
	l := asked.Decide(&d, a.dst.ExternalService-1)
	d.Verdict = l.Verdict
	return decided{d, &l}
}

// byFirewalls divides a source outside where the firewall of a service outside does.
func (r *Resolver) byFirewalls(from Term, src, dst *End) error {
	if r.layers == nil || len(src.Regions) == 0 || len(dst.Regions) == 0 {
		return nil
	}
	divided := *r
	divided.space = r.space.Join(r.Model.Space(r.layers.Admitting()...))
	end, err := divided.Resolve(from)
	src.Regions = end.Regions
	return err
}

// verdict decides a flow by all layers.
func (r *Resolver) verdict(f *flow.Flow) flow.Verdict {
	v := eval.Verdict(r.Model, f)
	if r.layers != nil {
		v = v.And(r.layers.Verdict(f, layers.ByAddress))
	}
	return v
}

// served refuses a question about ports that the service outside does not have.
func (r *Resolver) served(e *End, p PortTerm) error {
	if e.ExternalService == 0 {
		return nil
	}
	x := r.layers.Service(e.ExternalService - 1)
	switch {
	case p.Name != "":
		return errorf("only pods declare named ports: ask with a number", "%s has no port named %q", e.Label, p.Name)
	case p.Ports().Intersect(x.Ports).Empty() && len(x.NotUnderstood) > 0:
		return errorf("it is not fully understood: whether it serves more than "+x.Ports.String()+" is not known",
			"%s is not known to serve %s", e.Label, AskedText(p))
	case p.Ports().Intersect(x.Ports).Empty():
		return errorf("its ports are "+x.Ports.String(), "%s does not serve %s", e.Label, AskedText(p))
	}
	return nil
}

// serves tells whether a piece of the ports is asked about at all.
func (a *asking) serves(proto netset.Proto, port uint16) bool {
	return a.dst.ExternalService == 0 || a.r.layers.Serves(a.dst.ExternalService-1, proto, port)
}
