package kernel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/program"
)

// TestAnyDifference: small tables with few names, so that from one to the next everything changes that can: what a set holds, its
// type, who asks it, which chain calls which, and ranges that meet, split and reach the first and the last address. Each is
// reached by a difference, unless one name stands for sets of two types, and by a small one back.
func TestAnyDifference(t *testing.T) {
	for _, owner := range []bool{false, true} {
		t.Run(fmt.Sprint("owner ", owner), func(t *testing.T) {
			ns := netnstest.New(t)
			table := open(t, ns, kernel.Features{Owner: owner})
			rapid.Check(t, func(rt *rapid.T) {
				apply(rt, table, large(1)) // where all begin, so that one that fails does again
				p, q := small(rt), small(rt)
				for _, next := range []*program.Program{p, q, p} {
					if c := apply(rt, table, next); c.Everything && !errors.Is(c.Instead, kernel.ErrOther) {
						rt.Fatalf("a difference was not enough, by %v, for\n%s", c.Instead, next.Nft())
					}
					if found, err := table.Heal(true); err != nil || len(found) > 0 {
						rt.Fatalf("it has not come to\n%s\nbut differs: %q, %v", next.Nft(), found, err)
					}
				}
				same(rt, ns, p)
			})
		})
	}
}

// TestHookMoves: a chain that is called from somewhere else than before is made anew.
func TestHookMoves(t *testing.T) {
	ns := netnstest.New(t)
	table := open(t, ns, kernel.Features{})
	for _, hook := range []program.Hook{program.Forward, program.Input, 0, program.Output} {
		p := sample()
		p.Chains[1].Hook = hook
		apply(t, table, p)
		same(t, ns, p)
	}
}

// TestContradictionsInADifference: what contradicts itself is refused, whatever is there, and that stays.
func TestContradictionsInADifference(t *testing.T) {
	ns, p := netnstest.New(t), sample()
	table := open(t, ns, kernel.Features{})
	apply(t, table, p)
	ports := func(first, last uint16) program.Element {
		return program.Element{Proto: netset.TCP, Ports: netset.PortRange{First: first, Last: last}, Verdict: program.Verdict{Act: program.Return}}
	}
	for what, change := range map[string]func(*program.Program){
		"a range that hides another": func(p *program.Program) { p.Maps[2].Elements = []program.Element{ports(70, 100), ports(80, 90)} },
		"a name that is too long":    func(p *program.Program) { p.Sets[0].Elements[1].Interface = "veth0123456789012" },
		"a name that nft misreads":   func(p *program.Program) { p.Sets[0].Elements[1].Interface = "veth*" },
	} {
		next := sample()
		change(next)
		if _, err := table.Apply(next); err == nil || !strings.Contains(err.Error(), "contradicts itself") {
			t.Errorf("%s: %v", what, err)
		}
		same(t, ns, p)
		if c := apply(t, table, p); c.Words != "" {
			t.Errorf("%s: after that it took %v", what, c)
		}
	}
}

// TestRangeGrows: a range that begins where another one began, with the same verdict, is no sign that the other one is there still.
func TestRangeGrows(t *testing.T) {
	ns := netnstest.New(t)
	table := open(t, ns, kernel.Features{})
	apply(t, table, sample())
	next := sample()
	next.Maps[1].Elements[1].Last = netip.MustParseAddr("2001:db8::ffff")
	next.Maps[2].Elements[0].Ports.Last = 100
	if c := apply(t, table, next); c.Everything {
		t.Error("everything was written")
	}
	same(t, ns, next)
}

// small draws a table of its own making.
func small(rt *rapid.T) *program.Program {
	p := &program.Program{}
	d := drawing{T: rt, chains: rapid.Permutation([]string{"a", "b", "c", "d"}).Draw(rt, "chains")[:rapid.IntRange(0, 4).Draw(rt, "count")]}
	for _, name := range []string{"s", "t", "u", "v"} {
		switch key := program.Key(rapid.IntRange(1, int(program.KeyICMPv6)).Draw(rt, "key")); rapid.IntRange(0, 3).Draw(rt, "kind") {
		case 0:
			p.Sets = append(p.Sets, program.Set{Name: name, Key: key, Elements: d.elements(key, false)})
		case 1:
			p.Maps = append(p.Maps, program.Map{Name: name, Key: key, Elements: d.elements(key, true)})
		case 2:
			key = rapid.SampledFrom([]program.Key{program.KeyIPv4, program.KeyIPv6, program.KeyPort}).Draw(rt, "key")
			p.Maps = append(p.Maps, program.Map{Name: name, Key: key, Interval: true, Elements: d.ranges(key)})
		}
	}
	for i, name := range d.chains { // each calls only those behind it
		p.Chains = append(p.Chains, program.Chain{Name: name, Rules: d.rules(p, d.chains[i+1:])})
	}
	for i, name := range []string{"forward", "input", "output"} {
		if rapid.Bool().Draw(rt, name) {
			p.Chains = append(p.Chains, program.Chain{Name: name, Hook: program.Hook(i + 1), Rules: d.rules(p, d.chains)})
		}
	}
	for i := range p.Chains { // a map leads to chains that call nobody's map, and so in no circle
		if p.Chains[i].Hook == 0 {
			p.Chains[i].Rules = slices.DeleteFunc(p.Chains[i].Rules, func(r program.Rule) bool { return r.Map != "" })
		}
	}
	slices.SortFunc(p.Chains, func(a, b program.Chain) int { return strings.Compare(a.Name, b.Name) })
	if err := p.Check(); err != nil {
		rt.Fatal(err)
	}
	return p
}

type drawing struct {
	*rapid.T
	chains []string
}

func (d drawing) verdict(chains []string) program.Verdict {
	act := program.Act(rapid.IntRange(1, 5).Draw(d.T, "act"))
	if act < program.Jump {
		return program.Verdict{Act: act}
	}
	if len(chains) == 0 {
		return program.Verdict{Act: program.Drop}
	}
	return program.Verdict{Act: act, Chain: rapid.SampledFrom(chains).Draw(d.T, "chain")}
}

// elements draws single ones.
func (d drawing) elements(key program.Key, verdicts bool) (out []program.Element) {
	for i := range 6 {
		if !rapid.Bool().Draw(d.T, "there") {
			continue
		}
		e := program.Element{Interface: fmt.Sprint("veth", i)}
		four, six := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{15: byte(i)})
		switch key {
		case program.KeyIPv4:
			e = program.Element{First: four, Last: four}
		case program.KeyIPv6:
			e = program.Element{First: six, Last: six}
		case program.KeySource4:
			e.First, e.Last = four, four
		case program.KeySource6:
			e.First, e.Last = six, six
		case program.KeyPort:
			e = program.Element{Proto: netset.Proto(1 + i%2), Ports: netset.PortRange{First: uint16(i), Last: uint16(i)}}
		case program.KeyProtocol, program.KeyICMPv6:
			e = program.Element{Number: uint8(i)}
		}
		if verdicts {
			e.Verdict = d.verdict(d.chains)
		}
		out = append(out, e)
	}
	slices.SortFunc(out, program.CompareElements)
	return out
}

// ranges draws some that do not overlap, and often touch.
func (d drawing) ranges(key program.Key) (out []program.Element) {
	for _, proto := range []netset.Proto{netset.TCP, netset.UDP} {
		for _, r := range d.pieces() {
			e := program.Element{Verdict: d.verdict(d.chains)}
			switch key {
			case program.KeyIPv4:
				e.First, e.Last = at4[r[0]].first, at4[r[1]].last
			case program.KeyIPv6:
				e.First, e.Last = at6[r[0]].first, at6[r[1]].last
			default:
				e.Proto, e.Ports = proto, netset.PortRange{First: atPort[r[0]][0], Last: atPort[r[1]][1]}
			}
			out = append(out, e)
		}
		if key != program.KeyPort {
			break
		}
	}
	return out
}

// pieces divides the numbers from 0 to 5 into ranges, and leaves some out.
func (d drawing) pieces() (out [][2]int) {
	for i := 0; i < len(at4); {
		j := min(i+rapid.IntRange(0, 3).Draw(d.T, "length"), len(at4)-1)
		if rapid.IntRange(0, 3).Draw(d.T, "gap") > 0 {
			out = append(out, [2]int{i, j})
		}
		i = j + 1
	}
	return out
}

// The places where ranges begin and end, from the first address to the last.
type places struct{ first, last netip.Addr }

var (
	at4    = placesOf("0.0.0.0", "0.0.0.1", "10.0.0.0", "10.0.0.1", "10.1.0.0", "255.255.255.255")
	at6    = placesOf("::", "::1", "fd00::", "fd00::1", "fd01::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	atPort = [][2]uint16{{0, 0}, {1, 79}, {80, 80}, {81, 8000}, {8001, 65534}, {65535, 65535}}
)

// placesOf makes a place of each address, which goes on to the next one.
func placesOf(list ...string) (out []places) {
	for i, text := range list {
		p := places{netip.MustParseAddr(text), netip.MustParseAddr(text)}
		if i+1 < len(list) {
			p.last = netip.MustParseAddr(list[i+1]).Prev()
		}
		out = append(out, p)
	}
	return out
}

var matchOf = map[program.Key][]program.Match{
	program.KeyIPv4: {program.Source4, program.Destination4}, program.KeyIPv6: {program.Source6, program.Destination6},
	program.KeyInterface: {program.FromInterface, program.ToInterface}, program.KeySource4: {program.InterfaceAndIP4, program.TargetAndIP4},
	program.KeySource6: {program.InterfaceAndIP6, program.TargetAndIP6}, program.KeyPort: {program.ProtocolAndPort},
	program.KeyProtocol: {program.Protocol, program.RelatedError}, program.KeyICMPv6: {program.NeighbourTalk, program.ListenerTalk},
}

// rules draws some that call some chains, and ask any set.
func (d drawing) rules(p *program.Program, chains []string) (out []program.Rule) {
	for range rapid.IntRange(0, 3).Draw(d.T, "rules") {
		r := program.Rule{Match: rapid.SampledFrom([]program.Match{program.Always, program.Established, program.FromLoopback}).Draw(d.T, "match")}
		if i := rapid.IntRange(-1, len(p.Sets)-1).Draw(d.T, "set"); i >= 0 {
			r.Set, r.Negated, r.Match = p.Sets[i].Name, rapid.Bool().Draw(d.T, "negated"), rapid.SampledFrom(matchOf[p.Sets[i].Key]).Draw(d.T, "match")
		} else if i := rapid.IntRange(-1, len(p.Maps)-1).Draw(d.T, "map"); i >= 0 {
			out = append(out, program.Rule{Map: p.Maps[i].Name, Match: rapid.SampledFrom(matchOf[p.Maps[i].Key]).Draw(d.T, "match")})
			continue
		}
		r.Verdict = d.verdict(chains)
		r.Log = rapid.SampledFrom([]string{"", "sallyport x "}).Draw(d.T, "log")
		r.Comment = rapid.SampledFrom([]string{"", "why"}).Draw(d.T, "comment")
		out = append(out, r)
	}
	return out
}
