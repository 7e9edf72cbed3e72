package kernel

import (
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// plan is what has to change in the table, by what it refers to: nothing in it is ordered by history.
type plan struct {
	flush      []string         // chains whose rules go
	anew       []string         // sets that are made once more under their name
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

// planOf says how a difference gets into the table, whose content is next after that. capacity has how many elements the sets that
// are there were made for, and grows with the plan.
func planOf(d *program.Delta, next *program.Program, capacity map[string]int) *plan {
	p := &plan{dropSets: slices.Clone(d.GoneSets), dropChains: d.GoneChains}
	list := objects(next)
	sets := make(map[string]*object, len(list))
	for i := range list {
		sets[list[i].name] = &list[i]
	}
	for _, name := range d.NewSets {
		at := slices.Index(p.dropSets, name)
		if at >= 0 { // of another type under the same name
			p.dropSets = slices.Delete(p.dropSets, at, at+1)
		}
		p.make(sets[name], at >= 0, capacity)
	}
	for i := range d.Elements {
		m := &d.Elements[i]
		o := sets[m.Set]
		switch _, isNew := slices.BinarySearch(d.NewSets, m.Set); {
		case isNew: // it is made with all its elements
		case o.fits(len(o.elements)+len(m.Gone)-len(m.Come), capacity[o.name]):
			p.move(o, m)
		default:
			p.make(o, true, capacity)
		}
	}
	for _, name := range p.dropSets {
		delete(capacity, name)
	}
	p.chainsOf(d, next)
	return p
}

// make makes a set with all its elements.
func (p *plan) make(o *object, there bool, capacity map[string]int) {
	if there {
		p.anew = append(p.anew, o.name)
	}
	p.sets = append(p.sets, o)
	capacity[o.name] = o.capacity()
	if len(o.elements) > 0 {
		p.come = append(p.come, elements{o, o.elements})
	}
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

// fits tells whether a set that had so many elements can become one by moving some: it is large enough, and not so much larger that
// it is less to write it anew than to delete what goes.
func (o *object) fits(was, capacity int) bool {
	return (o.interval || len(o.elements) <= capacity) && (was < muchSmaller || len(o.elements) > was/8)
}

// muchSmaller is from how many elements on it is asked whether a set has become much smaller.
const muchSmaller = 1_000

// chainsOf finds the chains to make and to write. One that asks a set which is made anew gets all its rules again.
func (p *plan) chainsOf(d *program.Delta, next *program.Program) {
	p.flush = slices.Clone(d.GoneChains)
	asksAnew := func(r program.Rule) bool { return slices.Contains(p.anew, r.Set) || slices.Contains(p.anew, r.Map) }
	var hooks []*program.Chain
	for i := range next.Chains {
		c := &next.Chains[i]
		_, isNew := slices.BinarySearch(d.NewChains, c.Name)
		_, other := slices.BinarySearch(d.Rules, c.Name)
		switch {
		case isNew:
			p.chains = append(p.chains, c)
		case other, len(p.anew) > 0 && slices.ContainsFunc(c.Rules, asksAnew):
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
		w := start()
		w.text(unix.NFTA_RULE_CHAIN, name)
		out = append(out, message(unix.NFT_MSG_DELRULE, 0, w))
	}
	for _, name := range p.anew {
		out = append(out, dropSet(name))
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
	for _, name := range p.dropSets {
		out = append(out, dropSet(name))
	}
	for _, name := range p.dropChains {
		w := start()
		w.text(unix.NFTA_CHAIN_NAME, name)
		out = append(out, message(unix.NFT_MSG_DELCHAIN, 0, w))
	}
	return out, inert, nil
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

func dropSet(name string) netlink.Message {
	w := start()
	w.text(unix.NFTA_SET_NAME, name)
	return message(unix.NFT_MSG_DELSET, 0, w)
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
