package kernel

import (
	"fmt"
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

// empty tells whether nothing changes.
func (p *plan) empty() bool {
	return len(p.flush)+len(p.anew)+len(p.chains)+len(p.sets)+len(p.gone)+len(p.come)+len(p.rules)+len(p.dropSets)+len(p.dropChains) == 0
}

// planOf says what leads from one program to another; from nil it makes everything. capacity has how many elements the sets
// that are there were made for, and grows with the plan.
func planOf(old, next *program.Program, capacity map[string]int) *plan {
	p := &plan{}
	before := map[string]*object{}
	was, is := objects(old), objects(next)
	for i := range was {
		before[was[i].name] = &was[i]
	}
	anew := map[string]bool{}
	for i := range is {
		o := &is[i]
		b := before[o.name]
		delete(before, o.name)
		if b != nil && b.key == o.key && b.verdicts == o.verdicts && b.interval == o.interval && o.fits(b, capacity[o.name]) {
			p.elements(b, o)
			continue
		}
		if b != nil {
			p.anew = append(p.anew, o.name)
			anew[o.name] = true
		}
		p.sets = append(p.sets, o)
		capacity[o.name] = o.capacity()
		if len(o.elements) > 0 {
			p.come = append(p.come, elements{o, o.elements})
		}
	}
	for name := range before {
		p.dropSets = append(p.dropSets, name)
		delete(capacity, name)
	}
	slices.Sort(p.dropSets)
	p.chainsOf(old, next, anew)
	return p
}

// fits tells whether a set can become another one by its elements: it is large enough, and not so much larger that it is less
// to write it anew than to delete what goes.
func (o *object) fits(before *object, capacity int) bool {
	was, is := len(before.elements), len(o.elements)
	return (o.interval || is <= capacity) && (was < muchSmaller || is > was/8)
}

// muchSmaller is from how many elements on it is asked whether a set has become much smaller.
const muchSmaller = 1_000

// chainsOf compares chains. A chain whose rules differ, or ask a set that is made anew, gets all its rules again.
func (p *plan) chainsOf(old, next *program.Program, anew map[string]bool) {
	before := map[string]*program.Chain{}
	if old != nil {
		for i := range old.Chains {
			before[old.Chains[i].Name] = &old.Chains[i]
		}
	}
	asksAnew := func(r program.Rule) bool { return anew[r.Set] || anew[r.Map] }
	var hooks []*program.Chain
	for i := range next.Chains {
		c := &next.Chains[i]
		b := before[c.Name]
		delete(before, c.Name)
		if b != nil && slices.Equal(b.Rules, c.Rules) && !slices.ContainsFunc(c.Rules, asksAnew) {
			continue
		}
		if b == nil {
			p.chains = append(p.chains, c)
		} else {
			p.flush = append(p.flush, c.Name)
		}
		if c.Hook != 0 {
			hooks = append(hooks, c)
			continue
		}
		p.rules = append(p.rules, c)
	}
	for name := range before {
		p.flush = append(p.flush, name)
		p.dropChains = append(p.dropChains, name)
	}
	slices.Sort(p.flush)
	slices.Sort(p.dropChains)
	p.rules = append(p.rules, hooks...)
	p.hooks = len(hooks)
}

// elements compares those of a set that stays. Lists are sorted by key; ones that share their memory are the same.
func (p *plan) elements(old, next *object) {
	a, b := old.elements, next.elements
	if len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) {
		return
	}
	var gone, come []program.Element
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && program.CompareElements(a[0], b[0]) < 0:
			gone, a = append(gone, a[0]), a[1:]
		default:
			come, b = append(come, b[0]), b[1:]
		}
	}
	if len(gone) > 0 {
		p.gone = append(p.gone, elements{next, gone})
	}
	if len(come) > 0 {
		p.come = append(p.come, elements{next, come})
	}
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

// String counts what changes, for logs.
func (p *plan) String() string {
	count := func(list []elements) (n int) {
		for _, e := range list {
			n += len(e.list)
		}
		return n
	}
	return fmt.Sprintf("%d chains and %d sets made, %d and %d removed, %d elements added, %d deleted", len(p.chains), len(p.sets), len(p.dropChains), len(p.dropSets), count(p.come), count(p.gone))
}
