package kernel_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/program"
)

// sample is a small table with a set of every sort.
func sample() *program.Program {
	addr := netip.MustParseAddr
	closed, back := program.Verdict{Act: program.Goto, Chain: "closed"}, program.Verdict{Act: program.Return}
	return &program.Program{
		Sets: []program.Set{{Name: "links", Key: program.KeyInterface, Elements: []program.Element{{Interface: "eth0"}, {Interface: "veth0"}}}},
		Maps: []program.Map{
			{Name: "ends", Key: program.KeyIPv4, Elements: []program.Element{
				{First: addr("10.0.0.1"), Last: addr("10.0.0.1"), Verdict: closed}, {First: addr("10.0.0.2"), Last: addr("10.0.0.2"), Verdict: back}}},
			{Name: "net", Key: program.KeyIPv6, Interval: true, Elements: []program.Element{
				{First: addr("::"), Last: addr("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"), Verdict: closed}, {First: addr("2001:db8::"), Last: addr("2001:db8::ff"), Verdict: back},
				{First: addr("fd00::"), Last: addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Verdict: closed}}},
			{Name: "ports", Key: program.KeyPort, Interval: true, Elements: []program.Element{{Proto: netset.TCP, Ports: netset.PortRange{First: 80, Last: 90}, Verdict: back}}},
		},
		Chains: []program.Chain{
			{Name: "closed", Rules: []program.Rule{{Log: "sallyport x ", Verdict: program.Verdict{Act: program.Drop}, Comment: "shut"}}},
			{Name: "forward", Hook: program.Forward, Rules: []program.Rule{
				{Match: program.Established, Verdict: program.Verdict{Act: program.Accept}},
				{Match: program.FromInterface, Set: "links", Negated: true, Verdict: closed},
				{Match: program.Source4, Map: "ends"}, {Match: program.Destination6, Map: "net"}, {Match: program.ProtocolAndPort, Map: "ports"},
				{Verdict: closed}}},
			{Name: "output", Hook: program.Output, Rules: []program.Rule{{Match: program.Established, Verdict: program.Verdict{Act: program.Accept}}}},
		},
	}
}

// TestHeal: whatever somebody else does to the table is seen, said and undone; what they do to other tables is not.
func TestHeal(t *testing.T) {
	netnstest.NeedNft(t)
	ns, p := netnstest.New(t), sample()
	table := open(t, ns, kernel.Features{})
	apply(t, table, p)
	again, rule := "flush chain inet sallyport output; delete chain inet sallyport output; add chain inet sallyport output ", "add rule inet sallyport output ct state established accept"
	for _, c := range []struct{ script, want string }{
		{"flush ruleset", "the table is gone"},
		{"delete table inet sallyport", "the table is gone"},
		{"add table inet sallyport { flags dormant; }", "flags 0x1"},
		{"flush chain inet sallyport forward", "chain forward has other rules"},
		{"insert rule inet sallyport forward accept", "chain forward has other rules"},
		{"insert rule inet sallyport forward counter", "a rule that is not ours"},
		{`insert rule inet sallyport closed ip saddr 10.0.0.9 accept`, "a rule that is not ours"},
		{"add rule inet sallyport closed accept", "chain closed has other rules"},
		{"add chain inet sallyport other { type filter hook input priority 0; }", "chain other is not ours"},
		{"add set inet sallyport other { type ipv4_addr; }", "set other is not ours"},
		{"add set inet sallyport other { type ether_addr; }", "set other of type"},
		{"add element inet sallyport ends { 10.0.0.3 : return }", "set ends has"},
		{"delete element inet sallyport ends { 10.0.0.1 }", "set ends has"},
		{"add element inet sallyport net { fc00::/8 : return }", "set net has other elements"},
		{"delete element inet sallyport ports { tcp . 80-90 }", "set ports has other elements"},
		{"flush set inet sallyport links", "set links has"},
		{"add chain inet sallyport forward { type filter hook forward priority 0; policy drop; }", "chain forward of type filter with priority 0 and policy 0"},
		{again + "{ type nat hook output priority 0; }; " + rule, "chain output of type nat"}, // is asked about the first packet of a connection only
		{again + "{ type filter hook output priority 1; }; " + rule, "priority 1"},
		{again + "{ type filter hook input priority 0; }; " + rule, "chain output is not where it was"},
		{"add element inet sallyport ends { 10.0.0.3 : continue }", "an element of ends: the verdict"},
		{"add element inet sallyport ends { * : return }", "an element of ends: its flags"},
		{`flush chain inet sallyport closed; add rule inet sallyport closed log prefix "sallyport x " group 45 queue-threshold 9999 drop comment "shut"`, "chain closed has other rules"},
	} {
		nft(t, ns, c.script, "-f", "-")
		found, err := table.Heal(true) // a kernel that does not count elements is asked for all of them
		if err != nil || !strings.Contains(strings.Join(found, "; "), c.want) {
			t.Errorf("%s: found %q, %v; it should be %q", c.script, found, err, c.want)
		}
		same(t, ns, p)
		if found, err := table.Heal(false); err != nil || len(found) > 0 {
			t.Errorf("%s: after that %q, %v", c.script, found, err)
		}
	}
	nft(t, ns, "add table ip other; add chain ip other forward { type filter hook forward priority 0; }", "-f", "-")
	if found, err := table.Heal(false); err != nil || len(found) > 0 {
		t.Errorf("another table: %q, %v", found, err)
	}
	nft(t, ns, "delete element inet sallyport ends { 10.0.0.1 }; delete element inet sallyport ends { 10.0.0.2 }; flush set inet sallyport links", "-f", "-")
	if found, err := table.Heal(false); err != nil || len(found) == 0 {
		t.Errorf("elements are gone, and a look at samples does not find it: %q, %v", found, err)
	}
}

// TestApplyAfterOthers: a difference to a table that somebody else changed becomes one to what is there.
func TestApplyAfterOthers(t *testing.T) {
	netnstest.NeedNft(t)
	for _, script := range []string{"flush ruleset", "delete element inet sallyport ends { 10.0.0.2 }", "add element inet sallyport ends { 10.0.0.3 : return }"} {
		ns, p := netnstest.New(t), sample()
		table := open(t, ns, kernel.Features{})
		apply(t, table, p)
		nft(t, ns, script, "-f", "-")
		next := sample()
		e := &next.Maps[0].Elements[1]
		e.First, e.Last = netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.3")
		if c := apply(t, table, next); c.Instead == nil {
			t.Errorf("%s: it was not noticed", script)
		}
		same(t, ns, next)
	}
}

// TestOthersBeforeADifference: what somebody changed just before a difference is not taken for the agent's own.
func TestOthersBeforeADifference(t *testing.T) {
	netnstest.NeedNft(t)
	ns, p := netnstest.New(t), sample()
	table := open(t, ns, kernel.Features{})
	apply(t, table, p)
	nft(t, ns, "insert rule inet sallyport forward accept", "-f", "-")
	next := sample()
	next.Sets[0].Elements = next.Sets[0].Elements[:1]
	if c := apply(t, table, next); c.Everything {
		t.Error("the difference was not enough")
	}
	if found, err := table.Heal(false); err != nil || len(found) == 0 {
		t.Errorf("found %q, %v", found, err)
	}
	same(t, ns, next)
}

// TestOwner: on a kernel that has owners, nobody else changes the table while its process lives; it stays when that ends, and
// the next one takes it over.
func TestOwner(t *testing.T) {
	f := features(t)
	if !f.Owner {
		t.Skip("this kernel's tables have no owners that they outlive (Linux 6.9)")
	}
	netnstest.NeedNft(t)
	ns, p := netnstest.New(t), sample()
	table := open(t, ns, f)
	apply(t, table, p)
	nft(t, ns, "flush ruleset", "-f", "-")
	same(t, ns, p)
	if found, err := table.Heal(false); err != nil || len(found) > 0 {
		t.Errorf("a flush did something: %q, %v", found, err)
	}
	if _, err := kernel.Uninstall(ns.FD()); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("uninstalled below a running agent: %v", err)
	}
	second := open(t, ns, f)
	if _, err := second.Apply(large(1)); err == nil || !strings.Contains(err.Error(), "is another agent running") {
		t.Errorf("a second agent: %v", err)
	}
	same(t, ns, p)
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, ns, p) // it outlives its owner
	apply(t, second, large(1))
	same(t, ns, large(1))
	nft(t, ns, "flush ruleset", "-f", "-")
	same(t, ns, large(1))
}

// TestUninstall: the table outlives its process, with owners and without, and goes when it is to go.
func TestUninstall(t *testing.T) {
	ns := netnstest.New(t)
	if removed, err := kernel.Uninstall(ns.FD()); removed || err != nil {
		t.Errorf("nothing is there: %v, %v", removed, err)
	}
	table := open(t, ns, features(t))
	apply(t, table, sample())
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, ns, sample())
	if removed, err := kernel.Uninstall(ns.FD()); !removed || err != nil {
		t.Errorf("%v, %v", removed, err)
	}
	if p := read(t, ns); p != nil {
		t.Errorf("it is still there: %v", p.Nft())
	}
}

// TestNftTools: what administrators do with a ruleset works with ours in it: list, list as JSON, watch, save and restore.
func TestNftTools(t *testing.T) {
	netnstest.NeedNft(t)
	for _, f := range []kernel.Features{{}, features(t)} {
		ns, p := netnstest.New(t), sample()
		table := open(t, ns, f)
		var heard strings.Builder
		var c *exec.Cmd
		if err := ns.Do(func() error {
			c = exec.Command("nft", "monitor")
			c.Stdout, c.Stderr = &heard, &heard
			return c.Start()
		}); err != nil {
			t.Fatal(err)
		}
		watching(t, c)
		apply(t, table, p)
		apply(t, table, large(2))
		apply(t, table, p)
		saved := nft(t, ns, "", "list", "ruleset")
		if text := nft(t, ns, "", "-j", "list", "ruleset"); !json.Valid([]byte(text)) {
			t.Errorf("no JSON: %s", text)
		}
		nft(t, ns, "", "list", "tables")
		time.Sleep(50 * time.Millisecond) // for nft to say what it heard; if it is slower it says less, and aborts all the same
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("nft monitor did not live until the end: %v", err)
		}
		if err := c.Wait(); err != nil && !strings.Contains(err.Error(), "interrupt") || !strings.Contains(heard.String(), "10.0.0.1") {
			t.Errorf("nft monitor: %v\n%s", err, heard.String())
		}
		if f.Owner {
			continue // nft would own what it restores
		}
		other := netnstest.New(t)
		nft(t, other, saved, "-f", "-")
		same(t, other, p)
	}
}

// watching waits until a program listens to netlink.
func watching(t *testing.T, c *exec.Cmd) {
	t.Helper()
	for range 500 {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/netlink", c.Process.Pid))
		for _, line := range strings.Split(string(b), "\n") { // sk Eth Pid Groups …
			if f := strings.Fields(line); len(f) > 3 && f[1] == "12" && f[3] != "00000000" {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nft monitor does not listen")
}
