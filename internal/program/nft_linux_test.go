package program_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// nftRoot tells whether nft may send a table of any size: an ordinary user's messages have a bound.
func nftRoot() bool { return os.Geteuid() == 0 }

// nft loads a script and lists what the kernel then has, with the administrator's own program, in a network namespace of its own, where nothing of this machine can be touched, and as
// an ordinary user too: the user namespace around it makes that possible.
func nft(t testing.TB, script string) string {
	t.Helper()
	c := exec.Command("sh", "-c", "nft -f - && nft -n list ruleset")
	c.Stdin = strings.NewReader(script)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if !nftRoot() {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	if err := c.Run(); err != nil {
		text := problems.String()
		if len(text) > 3000 {
			text = text[:3000]
		}
		t.Fatalf("nft: %v\n%s", err, text)
	}
	return out.String()
}

// TestNftReadsAndPrints: nft takes every table, and what it lists it takes again and lists alike.
func TestNftReadsAndPrints(t *testing.T) {
	netnstest.NeedNft(t)
	rapid.Check(t, func(rt *rapid.T) {
		c := world.Cases(1).Draw(rt, "case")
		s := c.World.Snapshot()
		if len(s.Nodes) == 0 || c.Options.NotEnforced {
			return
		}
		reloads(t, newExperiment(s, c.Options, 0).p)
	})
}

// TestNftTakesALargeTable does the same with a node of a large cluster.
func TestNftTakesALargeTable(t *testing.T) {
	netnstest.NeedNft(t)
	workloads := 200
	if !nftRoot() {
		workloads = 20
	}
	s := bench.OnNodes(bench.Spread(workloads, 10*workloads, workloads), 110)
	reloads(t, program.New(policy.Compile(s, policy.Options{}), nodeOf(s, s.Nodes[0].Name)))
}

func reloads(t *testing.T, p *program.Program) {
	t.Helper()
	listed := nft(t, p.Nft())
	if again := nft(t, listed); sorted(again) != sorted(listed) {
		t.Errorf("what nft lists it does not list again:\n%s\nnot:\n%s", again, listed)
	}
	for _, c := range p.Chains {
		if !strings.Contains(listed, "chain "+c.Name+" {") {
			t.Errorf("chain %s is not listed", c.Name)
		}
	}
}

var elements = regexp.MustCompile(`(?s)elements = \{(.*?)\}`)

// sorted puts the elements of sets in order, which the kernel keeps in none.
func sorted(listed string) string {
	return elements.ReplaceAllStringFunc(listed, func(all string) string {
		list := strings.Split(elements.FindStringSubmatch(all)[1], ",")
		for i := range list {
			list[i] = strings.Join(strings.Fields(list[i]), " ")
		}
		slices.Sort(list)
		return strings.Join(list, ",")
	})
}
