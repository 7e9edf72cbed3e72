package agent

import (
	"time"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/program"
)

// cut looks at every connection of the pods here, revokes those that are not allowed, and restores those that were revoked and
// are allowed again. The others are not touched.
func (a *agent) cut() error {
	begun := time.Now()
	var revoke, restore []conntrack.Connection
	seen := 0
	err := conntrack.Each(a.Namespace, func(c *conntrack.Connection) error {
		seen++
		switch over := a.over(c); {
		case over && !c.Revoked:
			revoke = append(revoke, *c)
		case !over && c.Revoked:
			restore = append(restore, *c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range revoke {
		if _, err := a.cuts.Revoke(&revoke[i]); err != nil {
			return err
		}
		a.Log.Info("cut", "connection", revoke[i].String())
	}
	if len(revoke) > 0 && a.unseen { // what was cut must not be taken for one that is older than the table
		a.unseen = false
		a.next.Reset(0)
	}
	for i := range restore {
		if _, err := a.cuts.Restore(&restore[i]); err != nil {
			return err
		}
	}
	a.cutAt, a.took = time.Now(), time.Since(begun)
	if len(revoke)+len(restore) > 0 {
		a.Log.Info("connections", "looked at", seen, "cut", len(revoke), "restored", len(restore), "took", a.took.Round(time.Microsecond))
	}
	return nil
}

// over tells whether a connection has to end.
func (a *agent) over(c *conntrack.Connection) bool {
	if a.gone[c.Src] || a.gone[c.Dst] {
		return true
	}
	proto := protoOf(c.Proto)
	for _, s := range a.live.Allows(c.Src, c.Dst, proto, c.Port, a.facts.Owns) {
		if !s.Allowed && !a.kept(&s, c, proto) {
			return true
		}
	}
	return false
}

func protoOf(number uint8) netset.Proto {
	for _, p := range []netset.Proto{netset.TCP, netset.UDP, netset.SCTP} {
		if program.NumberOf(p) == number {
			return p
		}
	}
	return netset.Other
}

// kept tells whether those who wrote the policies that deny a connection want established ones to go on: the policy whose rule
// decides, or each of those that isolate the pod.
func (a *agent) kept(s *program.Side, c *conntrack.Connection, proto netset.Proto) bool {
	m := a.live.Model()
	near, far := flow.End{Kind: flow.Pod, Index: s.Pod, Addr: c.Src}, a.live.End(c.Dst)
	f := flow.Flow{From: near, To: far}
	if s.Direction == flow.Ingress {
		near.Addr, far = c.Dst, a.live.End(c.Src)
		f = flow.Flow{From: far, To: near}
	}
	f.Family, f.Proto, f.Port, f.ViaService = flow.FamilyOf(c.Src), proto, c.Port, true
	d := eval.Decide(m, &f)
	dir := d.Directions()[s.Direction-1]
	refs := []cluster.PolicyRef{dir.Rule.Policy}
	if dir.Reason == flow.Isolated {
		refs = nil
		for _, p := range dir.Isolating {
			refs = append(refs, p.Ref)
		}
	}
	for _, ref := range refs {
		if p := m.Policy(ref); p == nil || !p.KeepsEstablished {
			return false
		}
	}
	return dir.Verdict == flow.Denied && len(refs) > 0
}
