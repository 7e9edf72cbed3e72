package kernel

import (
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// plan is what has to change in the table, by what it refers to: nothing in it is ordered by history.
type plan struct {
	flush      []string         // chains whose rules are written anew
	chains     []*program.Chain // to make
	sets       []*object        // to make
	gone, come []elements
	rules      []*program.Chain // whose rules are written
	dropSets   []string
	dropChains []string
	hooks      int // how many of the rules, at the end, are those of chains that packets come by
}

// elements are some of a set.
type elements struct {
	set  *object
	list []program.Element
}

// planOf says how a difference gets into the table, whose content is next after that; ok is false where no difference leads there:
// a set would have to be another one under its name. capacity has how many elements the sets that are there were made for, and
// grows with the plan.
func planOf(d *program.Delta, next *program.Program, capacity map[string]int) (p *plan, ok bool) {
	p = &plan{dropSets: d.GoneSets, dropChains: d.GoneChains}
	list := objects(next)
	sets := make(map[string]*object, len(list))
	for i := range list {
		sets[list[i].name] = &list[i]
	}
	for _, name := range d.GoneSets {
		if sets[name] != nil {
			return nil, false
		}
		delete(capacity, name)
	}
	for _, name := range d.NewSets {
		o := sets[name]
		p.sets = append(p.sets, o)
		capacity[name] = o.capacity()
		if len(o.elements) > 0 {
			p.come = append(p.come, elements{o, o.elements})
		}
	}
	for i := range d.Elements {
		m := &d.Elements[i]
		if _, isNew := slices.BinarySearch(d.NewSets, m.Set); isNew {
			continue // it is made with all its elements
		}
		o := sets[m.Set]
		if room := capacity[o.name]; room > 0 && len(o.elements) > room { // 0 is room for any number
			return nil, false
		}
		p.move(o, m)
	}
	p.chainsOf(d, next)
	return p, true
}

// move changes the elements of a set.
func (p *plan) move(o *object, m *program.Moved) {
	if len(m.Gone) > 0 {
		p.gone = append(p.gone, elements{o, m.Gone})
	}
	if len(m.Come) > 0 {
		p.come = append(p.come, elements{o, m.Come})
	}
}

// chainsOf finds the chains to make and to write.
func (p *plan) chainsOf(d *program.Delta, next *program.Program) {
	var hooks []*program.Chain
	for i := range next.Chains {
		c := &next.Chains[i]
		_, isNew := slices.BinarySearch(d.NewChains, c.Name)
		_, other := slices.BinarySearch(d.Rules, c.Name)
		switch {
		case isNew:
			p.chains = append(p.chains, c)
		case other:
			p.flush = append(p.flush, c.Name)
		default:
			continue
		}
		if c.Hook != 0 {
			hooks = append(hooks, c)
			continue
		}
		p.rules = append(p.rules, c)
	}
	p.rules = append(p.rules, hooks...)
	p.hooks = len(hooks)
}

// messages writes a plan down, so that nothing is referred to before it is there, nor goes while it is referred to. inert is
// how many messages at the beginning change nothing of what packets meet, if the table was empty before.
func (p *plan) messages(capacity map[string]int) (out []netlink.Message, inert int, err error) {
	for _, name := range p.flush {
		out = append(out, flush(name))
	}
	for _, c := range p.chains {
		if c.Hook == 0 {
			out = append(out, chainMessage(c))
		}
	}
	ids := map[*object]uint32{}
	for i, o := range p.sets {
		ids[o] = uint32(i + 1)
		out = append(out, setMessage(o, ids[o], capacity[o.name]))
	}
	for _, e := range p.gone {
		out = append(out, elementMessages(e.set, 0, unix.NFT_MSG_DELSETELEM, 0, e.list)...)
	}
	for _, e := range p.come {
		out = append(out, elementMessages(e.set, ids[e.set], unix.NFT_MSG_NEWSETELEM, netlink.Create|netlink.Excl, e.list)...)
	}
	for i, c := range p.rules {
		if i == len(p.rules)-p.hooks {
			inert = len(out)
			out = append(out, p.hookChains()...)
		}
		for j := range c.Rules {
			m, err := ruleMessage(c.Name, &c.Rules[j])
			if err != nil {
				return nil, 0, err
			}
			out = append(out, m)
		}
	}
	return out, inert, nil
}

// drops removes what nothing leads to any more after the messages: sets first, and the chains that they led to. These are batches of
// their own: a packet goes on by the rules that it began with, but finds nothing in a set that is removed meanwhile.
func (p *plan) drops() (out [][]netlink.Message) {
	var flushes, sets, chains []netlink.Message
	for _, name := range p.dropChains {
		flushes = append(flushes, flush(name)) // they may lead to each other
	}
	for _, name := range p.dropSets {
		w := start()
		w.text(unix.NFTA_SET_NAME, name)
		sets = append(sets, message(unix.NFT_MSG_DELSET, 0, w))
	}
	for _, name := range p.dropChains {
		w := start()
		w.text(unix.NFTA_CHAIN_NAME, name)
		chains = append(chains, message(unix.NFT_MSG_DELCHAIN, 0, w))
	}
	if len(sets) > 0 {
		out = append(out, slices.Concat(flushes, sets))
	}
	if len(chains) > 0 {
		out = append(out, slices.Concat(flushes, chains))
	}
	return out
}

// flush removes the rules of a chain.
func flush(chain string) netlink.Message {
	w := start()
	w.text(unix.NFTA_RULE_CHAIN, chain)
	return message(unix.NFT_MSG_DELRULE, 0, w)
}

func (p *plan) hookChains() []netlink.Message {
	var out []netlink.Message
	for _, c := range p.chains {
		if c.Hook != 0 {
			out = append(out, chainMessage(c))
		}
	}
	return out
}

// hookNumbers are the kernel's numbers of hooks.
var hookNumbers = map[program.Hook]uint32{program.Input: unix.NF_INET_LOCAL_IN, program.Forward: unix.NF_INET_FORWARD, program.Output: unix.NF_INET_LOCAL_OUT}

// Where in a hook a chain is asked: with filters, after the destination is translated. What no rule ends is accepted.
const (
	priority  = 0
	accept    = 1 // NF_ACCEPT
	chainType = "filter"
)

// chainMessage makes a chain without its rules. One with a hook accepts what no rule ends.
func chainMessage(c *program.Chain) netlink.Message {
	w := start()
	w.text(unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != 0 {
		at := w.nest(unix.NFTA_CHAIN_HOOK)
		w.number(unix.NFTA_HOOK_HOOKNUM, hookNumbers[c.Hook])
		w.number(unix.NFTA_HOOK_PRIORITY, priority)
		w.close(at)
		w.number(unix.NFTA_CHAIN_POLICY, accept)
		w.text(unix.NFTA_CHAIN_TYPE, chainType)
	}
	return message(unix.NFT_MSG_NEWCHAIN, netlink.Create|netlink.Excl, w)
}
