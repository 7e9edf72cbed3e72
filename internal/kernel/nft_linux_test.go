package kernel_test

import (
	"bytes"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
)

// nft runs the administrator's program in a namespace.
func nft(t rapid.TB, ns *netns.Namespace, script string, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	err := ns.Do(func() error {
		c := exec.Command("nft", args...)
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader(script), &out, &problems
		return c.Run()
	})
	if err != nil {
		t.Fatalf("nft %q: %v\n%.3000s", args, err, problems.String())
	}
	return out.String()
}

// TestNftLoadsTheSame: what a program's words come to, loaded by nft, lists like what Apply wrote, and Read takes it for the same.
func TestNftLoadsTheSame(t *testing.T) {
	netnstest.NeedNft(t)
	a, b := netnstest.New(t), netnstest.New(t)
	table := open(t, a, kernel.Features{})
	rapid.Check(t, func(rt *rapid.T) {
		p := draw(rt)
		apply(rt, table, p)
		nft(rt, b, "flush ruleset\n"+p.Nft(), "-f", "-")
		if x, y := listed(rt, a), listed(rt, b); x != y {
			rt.Fatalf("it lists as\n%s\n-------\nand not as\n%s", x, y)
		}
		same(rt, b, p)
	})
}

var lists = regexp.MustCompile(`(?s)elements = \{(.*?)\}`)
var sizes = regexp.MustCompile(`(?m)^\t\tsize \d+.*\n`)

// listed gives what nft lists, in an order of its own: the kernel keeps none among elements, and lists objects as they came.
func listed(t rapid.TB, ns *netns.Namespace) string {
	t.Helper()
	text := sizes.ReplaceAllString(nft(t, ns, "", "-n", "list", "ruleset"), "")
	text = lists.ReplaceAllStringFunc(text, func(all string) string {
		list := strings.Split(lists.FindStringSubmatch(all)[1], ",")
		for i := range list {
			list[i] = strings.Join(strings.Fields(list[i]), " ")
		}
		slices.Sort(list)
		return strings.Join(list, ",\n")
	})
	blocks := strings.Split(text, "\n\t}\n")
	for i := range blocks {
		blocks[i] = strings.TrimSpace(strings.TrimPrefix(blocks[i], "table inet sallyport {\n"))
	}
	slices.Sort(blocks)
	return strings.Join(blocks, "\n")
}
