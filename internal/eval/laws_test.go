package eval_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// twin is a random world on both sides of a law.
type twin struct {
	was, now *policy.Model
	image    func(flow.Flow) flow.Flow // of a flow on the other side; nil where it is the flow itself
	skip     func(flow.Flow) bool      // the law says nothing about this flow; nil where it always does
	// holds compares the answers to a flow: broken says how the law is broken, mattered whether the
	// flow could have broken it.
	holds func(f flow.Flow, was, now *eval.Decision) (mattered bool, broken string)
	other func() string // the other side, for people
}

// law makes twins; false where the drawn world gives no occasion.
type law func(*rapid.T, world.Case) (twin, bool)

// TestLaws checks what must hold between the answers to two worlds, whatever the answers are. It
// needs no oracle, so it also finds what evaluator and oracle have wrong in common.
func TestLaws(t *testing.T) {
	share := world.Soak(t, 5*time.Second, 6)
	for _, l := range []struct {
		name     string
		share    time.Duration
		law      law
		occasion string // what it means that a flow mattered
	}{
		{"Rename", share / 3, renamed, "decided by a rule"},
		{"Shuffle", share / 3, rewritten(shuffled), "decided by a rule"},
		{"SplitPolicies", share / 3, rewritten(split), "decided by a rule"},
		{"AddRule", share, ruleAdded, "opened"},
		{"RemoveRule", share, ruleRemoved, "closed"},
		{"MirrorFamilies", share, mirrored, "decided by a rule"},
		{"ForeignPolicy", share, foreignAdded, "in scope of a foreign policy"},
		{"Strict", share, madeStrict, "made unknown by S17"},
	} {
		t.Run(l.name, func(t *testing.T) { obey(t, l.law, l.share, l.occasion) })
	}
}

func obey(t *testing.T, l law, share time.Duration, occasion string) {
	flows, mattered := 0, 0
	end := time.Now().Add(share)
	// A short share on a busy machine may see no occasion: it gets a few rounds more to find one.
	for round := 0; !t.Failed() && (time.Now().Before(end) || mattered == 0 && round < 100); round++ {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(16).Draw(rt, "case")
			tw, ok := l(rt, c)
			if !ok {
				return
			}
			for _, f := range c.Flows {
				if tw.skip != nil && tw.skip(f) {
					continue
				}
				flows++
				if tw.check(rt, c, f) {
					mattered++
				}
			}
		})
	}
	t.Logf("%d flows compared, %d of them %s", flows, mattered, occasion)
	if mattered == 0 {
		t.Errorf("of %d flows none is %s", flows, occasion)
	}
}

// check asks a flow on both sides and tells whether it could have broken the law.
func (tw *twin) check(rt *rapid.T, c world.Case, f flow.Flow) bool {
	image := f
	if tw.image != nil {
		image = tw.image(f)
	}
	was, now := eval.Decide(tw.was, &f), eval.Decide(tw.now, &image)
	mattered, broken := tw.holds(f, &was, &now)
	if eval.Verdict(tw.was, &f) != was.Verdict || eval.Verdict(tw.now, &image) != now.Verdict {
		broken = "Verdict and Decide disagree"
	}
	if broken != "" {
		rt.Fatalf("%s: %s\nwas %s\nnow %s\noptions %+v\nthe other side:\n%s",
			question(tw.was.Snapshot(), f), broken, answer(&was), answer(&now), c.Options, tw.other())
	}
	return mattered
}

// answer is what the laws look at, in one line.
func answer(d *eval.Decision) string {
	text := d.Verdict.String()
	for _, side := range d.Directions() {
		text += fmt.Sprintf("; %v %v %v", side.Direction, side.Verdict, side.Reason)
		if side.Rule != (cluster.RuleID{}) {
			text += fmt.Sprintf(" %v %s", side.Rule.Policy, side.Rule.Path())
		}
	}
	return text
}

// compile gives both models of a world that is rewritten; options are the same.
func compile(was, now world.World, o oracle.Options) twin {
	return twin{
		was:   policy.Compile(was.Snapshot(), modelOptions(o)),
		now:   policy.Compile(now.Snapshot(), modelOptions(o)),
		other: now.YAML,
	}
}

// renamed: names mean nothing but identity. Reasons may differ, because names break ties (S40).
func renamed(_ *rapid.T, c world.Case) (twin, bool) {
	other, image := world.Rename(c.World)
	tw := compile(c.World, other, c.Options)
	tw.image, tw.holds = image, sameVerdicts
	return tw, true
}

// rewritten: S10 and S61, another way to write the same policies has the same answers for the same
// reasons. The ends of the flows are the same, because Snapshots are sorted.
func rewritten(rewrite func(*rapid.T, world.World) world.World) law {
	return func(rt *rapid.T, c world.Case) (twin, bool) {
		tw := compile(c.World, rewrite(rt, c.World), c.Options)
		tw.holds = sameReasons
		return tw, true
	}
}

func shuffled(rt *rapid.T, w world.World) world.World {
	return world.Shuffle(w, rapid.Uint64().Draw(rt, "order"))
}

func split(_ *rapid.T, w world.World) world.World { return world.SplitPolicies(w) }

// ruleAdded: policies only add (S10), so one more rule closes nothing.
func ruleAdded(rt *rapid.T, c world.Case) (twin, bool) {
	more, ok := world.AddRule(rt, c.World)
	if !ok {
		return twin{}, false
	}
	tw := compile(c.World, more, c.Options)
	tw.holds = func(_ flow.Flow, was, now *eval.Decision) (bool, string) { return onlyOpens(was, now) }
	return tw, true
}

// ruleRemoved: and one rule less opens nothing.
func ruleRemoved(rt *rapid.T, c world.Case) (twin, bool) {
	fewer, ok := world.RemoveRule(rt, c.World)
	if !ok {
		return twin{}, false
	}
	tw := compile(c.World, fewer, c.Options)
	tw.holds = func(_ flow.Flow, was, now *eval.Decision) (bool, string) { return onlyOpens(now, was) }
	return tw, true
}

// onlyOpens tells whether a flow is open with more rules only, and how the law is broken if having
// more of them takes away what fewer allow. The law is as true of each direction.
func onlyOpens(fewer, more *eval.Decision) (mattered bool, broken string) {
	verdicts := [][2]flow.Verdict{{fewer.Verdict, more.Verdict}, {fewer.Egress.Verdict, more.Egress.Verdict},
		{fewer.Ingress.Verdict, more.Ingress.Verdict}}
	for _, v := range verdicts {
		switch {
		case v[0] == flow.Allowed && v[1] != flow.Allowed:
			return true, fmt.Sprintf("allowed with fewer rules, %v with more", v[1])
		case v[0] != flow.Denied && v[1] == flow.Denied:
			return true, fmt.Sprintf("%v with fewer rules, denied with more", v[0])
		}
	}
	return fewer.Verdict != flow.Allowed && more.Verdict == flow.Allowed, ""
}

// mirrored: the families are alike. The image of a metadata address is none (S27), so these are not
// blocked here.
func mirrored(_ *rapid.T, c world.Case) (twin, bool) {
	c.Options.BlockMetadata = false
	other := world.MirrorFamilies(c.World)
	tw := compile(c.World, other, c.Options)
	tw.now = policy.Compile(other.Snapshot(), modelOptions(world.MirrorOptions(c.Options)))
	tw.image, tw.holds = world.MirrorFlow, sameReasons
	tw.skip = func(f flow.Flow) bool { return f.Family != flow.IPv4 }
	return tw, true
}

// foreignAdded: S33, policies of other engines are named; only under Strict they make unknown.
func foreignAdded(rt *rapid.T, c world.Case) (twin, bool) {
	tw := compile(c.World, c.World, c.Options)
	s := c.World.Snapshot()
	s.ForeignPolicies = drawForeign(rt, s)
	tw.now = policy.Compile(s, modelOptions(c.Options))
	tw.other = func() string { return fmt.Sprintf("%+v", s.ForeignPolicies) }
	tw.holds = func(f flow.Flow, was, now *eval.Decision) (mattered bool, broken string) {
		for i, d := range was.Directions() {
			scope := byPolicy(d) && inForeignScope(s, f, d.Direction)
			mattered = mattered || scope
			if broken := foreignBreaks(d, now.Directions()[i], scope, c.Options.Strict); broken != "" {
				return mattered, broken
			}
		}
		return mattered, ""
	}
	return tw, true
}

func foreignBreaks(was, now *eval.Direction, scope, strict bool) string {
	want := was.Verdict
	if scope && strict {
		want = flow.Unknown
	}
	switch {
	case now.Verdict != want || now.Reason != was.Reason:
		return fmt.Sprintf("%v is %v %v, not %v %v", now.Direction, now.Verdict, now.Reason, want, was.Reason)
	case scope != (len(now.Foreign) > 0):
		return fmt.Sprintf("%v is marked with the foreign policies %v", now.Direction, now.Foreign)
	}
	return ""
}

// inForeignScope tells whether a policy of another engine may decide a direction; its subject is a pod.
func inForeignScope(s *cluster.Snapshot, f flow.Flow, d flow.Direction) bool {
	subject, egress := f.To, d == flow.Egress
	if egress {
		subject = f.From
	}
	for _, p := range s.ForeignPolicies {
		if (p.Namespace == "" || p.Namespace == s.Pods[subject.Index].Namespace) && (egress && p.Egress || !egress && p.Ingress) {
			return true
		}
	}
	return false
}

func drawForeign(rt *rapid.T, s *cluster.Snapshot) []cluster.ForeignPolicy {
	namespaces := []string{""}
	for _, n := range s.Namespaces {
		namespaces = append(namespaces, n.Name)
	}
	p := cluster.ForeignPolicy{Group: "cilium.io", Kind: "CiliumNetworkPolicy", Name: "other"}
	p.Namespace = rapid.SampledFrom(namespaces).Draw(rt, "namespace of the foreign policy")
	p.Ingress, p.Egress = rapid.Bool().Draw(rt, "foreign ingress"), rapid.Bool().Draw(rt, "foreign egress")
	return []cluster.ForeignPolicy{p}
}

// madeStrict: --strict only ever takes an assumption back (S17, S33). What decides under "every
// unknown match is no" stays, and where no foreign policy is about, a verdict that Strict changes is
// one that named its assumption.
func madeStrict(rt *rapid.T, c world.Case) (twin, bool) {
	s := c.World.Snapshot()
	if rapid.Bool().Draw(rt, "with a foreign policy") {
		s.ForeignPolicies = drawForeign(rt, s)
	}
	strict := c.Options
	c.Options.Strict, strict.Strict = false, true
	tw := twin{was: policy.Compile(s, modelOptions(c.Options)), now: policy.Compile(s, modelOptions(strict))}
	tw.other = func() string { return fmt.Sprintf("strict, foreign policies %+v", s.ForeignPolicies) }
	tw.holds = func(_ flow.Flow, was, now *eval.Decision) (bool, string) {
		changed := was.Verdict != now.Verdict
		if changed && now.Verdict != flow.Unknown {
			return true, fmt.Sprintf("Strict made %v of %v", now.Verdict, was.Verdict)
		}
		mattered := changed && len(s.ForeignPolicies) == 0 // by S17: ForeignPolicy is a law of its own
		for i, d := range was.Directions() {
			if broken := strictBreaks(d, now.Directions()[i]); broken != "" {
				return mattered, broken
			}
		}
		return mattered, ""
	}
	return tw, true
}

func strictBreaks(was, now *eval.Direction) string {
	changed := was.Verdict != now.Verdict
	switch {
	case changed && now.Verdict != flow.Unknown:
		return fmt.Sprintf("%v: Strict made %v of %v", was.Direction, now.Verdict, was.Verdict)
	case was.Reason != now.Reason || was.Rule != now.Rule:
		return fmt.Sprintf("%v: Strict has another reason", was.Direction)
	case len(was.Foreign) == 0 && changed != (len(was.Assumed) > 0):
		return fmt.Sprintf("%v: assumed %v", was.Direction, was.Assumed)
	}
	return ""
}

func sameVerdicts(_ flow.Flow, was, now *eval.Decision) (mattered bool, broken string) {
	for i, d := range was.Directions() {
		if now.Directions()[i].Verdict != d.Verdict {
			broken = fmt.Sprintf("another verdict on %v", d.Direction)
		}
		mattered = mattered || byRule(d)
	}
	if was.Verdict != now.Verdict {
		broken = "another verdict"
	}
	return mattered, broken
}

func sameReasons(f flow.Flow, was, now *eval.Decision) (mattered bool, broken string) {
	mattered, broken = sameVerdicts(f, was, now)
	for i, d := range was.Directions() {
		if broken == "" && now.Directions()[i].Reason != d.Reason {
			broken = fmt.Sprintf("another reason on %v", d.Direction)
		}
	}
	return mattered, broken
}

// byRule tells whether a rule decided the direction.
func byRule(d *eval.Direction) bool {
	return d.Reason == flow.AdminRule || d.Reason == flow.PolicyRule || d.Reason == flow.BaselineRule
}

// byPolicy tells whether policies were asked at all: lines 6 to 9 of the order of evaluation.
func byPolicy(d *eval.Direction) bool { return d.Reason >= flow.AdminRule }
