package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/program"
)

// named is how many connections are named that are cut at once: a pod can open a great many.
const named = 20

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
	err = errors.Join(a.revoke(revoke), every(restore, func(c *conntrack.Connection) error {
		_, err := a.cuts.Restore(c)
		return err
	}))
	a.cutAt, a.took = time.Now(), time.Since(begun)
	if len(revoke)+len(restore) > 0 {
		a.Log.Info("connections", "looked at", seen, "cut", len(revoke), "restored", len(restore), "took", a.took.Round(time.Microsecond))
	}
	return err
}

// end cuts the connections of pods that are gone: another pod may have their address, and the table is about to let it speak. What the
// node itself has no pod had.
func (a *agent) end() error {
	if len(a.gone) == 0 {
		return nil
	}
	var list []conntrack.Connection
	over := func(addr netip.Addr) bool { return a.gone[addr] && !a.facts.Owns(addr) }
	err := conntrack.Each(a.Namespace, func(c *conntrack.Connection) error {
		if over(c.Src) || over(c.Dst) {
			list = append(list, *c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.revoke(slices.DeleteFunc(slices.Clone(list), func(c conntrack.Connection) bool { return c.Revoked })); err != nil {
		return err
	}
	a.ended = append(a.ended, list...)
	clear(a.gone)
	return nil
}

// forget lets the kernel forget what ended, so that it is not restored when the address is another pod's, to which policies allow the
// same. By now the table has no place for TCP that the kernel does not know.
func (a *agent) forget() error {
	err := every(a.ended, a.cuts.Forget)
	if err == nil {
		a.ended = nil
	}
	return err
}

// revoke cuts connections.
func (a *agent) revoke(list []conntrack.Connection) error {
	if len(list) == 0 {
		return nil
	}
	done := 0
	err := every(list, func(c *conntrack.Connection) error {
		_, err := a.cuts.Revoke(c)
		if err == nil && done < named {
			a.Log.Info("cut", "connection", c.String())
		}
		done++
		return err
	})
	if a.unseen { // what was cut must not be taken for one that is older than the table
		a.unseen = false
		a.next.Reset(0)
	}
	return err
}

// failures is how many have to fail in a row until it is not for a connection's sake.
const failures = 16

// every does something to all connections: one to which it cannot be done keeps no other one alive.
func every(list []conntrack.Connection, do func(*conntrack.Connection) error) error {
	var first error
	failed, row := 0, 0
	for i := range list {
		err := do(&list[i])
		if err == nil {
			row = 0
			continue
		}
		if failed, row = failed+1, row+1; first == nil {
			first = err
		}
		if row == failures {
			break
		}
	}
	if failed > 1 {
		return fmt.Errorf("%w (and so %d more)", first, failed-1)
	}
	return first
}

// over tells whether a connection has to end.
func (a *agent) over(c *conntrack.Connection) bool {
	proto := program.ProtoOf(c.Proto)
	for _, s := range a.live.Allows(c.Src, c.Dst, proto, c.Port, a.facts.Owns) {
		if !s.Allowed && (s.Closed || !a.kept(&s, c, proto)) {
			return true
		}
	}
	return false
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
