package kernel

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/program"
)

// TestSelfTestNamesWhatIsMissing: what a kernel refuses, what it takes and does not do, and nothing else is named.
func TestSelfTestNamesWhatIsMissing(t *testing.T) {
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	refused := need{what: "maps that are not there", since: "9.9", config: "CONFIG_X", p: output(program.Rule{Match: program.Source4, Map: "nowhere"})}
	differs := needs[len(needs)-1]
	differs.what, differs.packets = "packets that go the other way", []trial{{"127.0.0.1:1000", true}}
	unlabelled := need{what: "labels that no rule has to do with", since: "9.9", config: "CONFIG_Y", p: output(program.Rule{Match: program.Established, Verdict: program.Verdict{Act: program.Accept}}), cut: "127.0.0.1:9"}
	uncut := unlabelled
	uncut.what, uncut.p = "labels that nothing asks for", output(program.Rule{Match: program.Relabel})
	f, err := selfTest(ns, append([]need{refused, differs, unlabelled, uncut}, needs...))
	if err == nil || f.Owner {
		t.Fatalf("%v, %v", f, err)
	}
	for _, want := range []string{"Linux ", "maps that are not there (since Linux 9.9, CONFIG_X): ", "packets that go the other way (since Linux 5.6", "a packet to 127.0.0.1:1000 passes: false, and it should be true",
		"labels that no rule has to do with (since Linux 9.9, CONFIG_Y): after the first packet: ", "has no room for labels", "labels that nothing asks for (", "a packet to 127.0.0.1:9 passes, though"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), "since Linux") != 4 {
		t.Errorf("it says more than is missing: %q", err)
	}
	if p, _, err := Read(ns.FD()); p != nil || err != nil {
		t.Errorf("the test left a table behind: %v, %v", p, err)
	}
	if err := ns.Close(); err != nil {
		t.Error(err)
	}
}

// TestNeedsCoverShapes: every sort of set that a program has is among what is tested.
func TestNeedsCoverShapes(t *testing.T) {
	type sort struct{ verdicts, interval, several bool }
	have := map[sort]bool{}
	for i := range needs {
		for _, o := range objects(&needs[i].p) {
			have[sort{o.verdicts, o.interval, len(keyParts[o.key]) > 1}] = true
		}
	}
	for _, s := range []sort{{false, false, true}, {true, false, false}, {true, true, false}, {true, true, true}} {
		if !have[s] {
			t.Errorf("nothing tests %+v", s)
		}
	}
}

func TestOlder(t *testing.T) {
	for release, want := range map[string]bool{
		"Linux 4.19.0-27-amd64": true, "Linux 5.4.0-150-generic": true, "Linux 5.9": true, "Linux 5.10.0": false, "Linux 5.15.0-1087-azure": false,
		"Linux 6.8": false, "Linux 6.18.44-fc": false, "Linux 10.0-rc1": false,
	} {
		if got := older(release); got != want {
			t.Errorf("%s is older than %s: %v", release, Minimum, got)
		}
	}
}
