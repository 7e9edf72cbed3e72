package explain_test

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/source/manifest"
	"sallyport.dev/sallyport/internal/source/objects"
)

// layered compiles the world of the transcripts in which every layer speaks.
func layered(t *testing.T, behaviour policy.Behaviour) (*policy.Model, *layers.Model) {
	t.Helper()
	return compile(t, manifest.Options{Files: []string{"../../cmd/sallyport/testdata/layers"}}, behaviour)
}

func compile(t *testing.T, o manifest.Options, behaviour policy.Behaviour) (*policy.Model, *layers.Model) {
	t.Helper()
	b := objects.NewBuilder(objects.Options{DefaultNamespace: "default"})
	if err := manifest.Load(b, o); err != nil {
		t.Fatal(err)
	}
	snap, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	m := policy.Compile(snap, policy.Options{Behaviour: behaviour})
	return m, layers.Compile(m)
}

// TestEndpointsAgree: what is said of two ends is what decides a connection between them.
func TestEndpointsAgree(t *testing.T) {
	asked, unasked, unenforced := 0, 0, 0
	for _, behaviour := range []policy.Behaviour{{}, {NotEnforced: true}} {
		m, l := layered(t, behaviour)
		facts := make([]*explain.Layers, len(m.Snapshot().Pods))
		for i := range facts {
			facts[i] = explain.NewExplainer(m, l).Endpoints("x", []int{i})[0].Layers
		}
		for from := range facts {
			for to := range facts {
				for _, port := range []uint16{22, 8079, 8080, 8081, 9090, 9091} {
					f := flow.Flow{From: flow.End{Kind: flow.Pod, Index: from}, To: flow.End{Kind: flow.Pod, Index: to}, Family: flow.IPv4, Proto: netset.TCP, Port: port, ViaService: true}
					d := eval.Decide(m, &f)
					all := l.Decide(&d, layers.ByAddress)
					step := &all.Steps[layers.IdentityIssued]
					pair := m.Snapshot().Pods[from].String() + " to " + m.Snapshot().Pods[to].String()
					if !facts[to].Asked.Contains(netset.TCP, port) {
						unasked++
						if step.Reason != layers.NothingAsked {
							t.Errorf("%s:%d: nothing is said to ask, and %v", pair, port, step)
						}
						continue
					}
					asked++
					answer := step.Answer
					if step.Unenforced {
						unenforced++
						answer = layers.Deny
					}
					if answer != facts[from].Issued || step.Reason != facts[from].Reason {
						t.Errorf("%s:%d: %v, and the source is said to be issued %v for %v", pair, port, step, facts[from].Issued, facts[from].Reason)
					}
					if got := facts[to].Unenforced.Contains(netset.TCP, port); step.Unenforced && !got || got && step.Answer == layers.Deny {
						t.Errorf("%s:%d: unenforced is said to be %v, and %v", pair, port, got, step)
					}
				}
			}
		}
	}
	if asked == 0 || unasked == 0 || unenforced == 0 {
		t.Errorf("%d asked, %d not, %d of them unenforced: nothing was compared", asked, unasked, unenforced)
	}
}

// TestPassing: who is said to pass a policy that is alone at its target is who does.
func TestPassing(t *testing.T) {
	m, l := layered(t, policy.Behaviour{})
	snap := m.Snapshot()
	index := slices.IndexFunc(snap.AccessPolicies, func(p cluster.AccessPolicy) bool { return p.Name == "queue" })
	p := explain.NewExplainer(m, l).AccessPolicy(index)
	if !slices.Equal(p.Target.Now, []string{"shop/statefulset/queue"}) || len(p.Others) > 0 {
		t.Fatalf("targets %v with %v", p.Target.Now, p.Others)
	}
	to := slices.IndexFunc(snap.Pods, func(p cluster.Pod) bool { return p.Name == "queue-0" })
	passed := 0
	for i := range snap.Pods {
		f := flow.Flow{From: flow.End{Kind: flow.Pod, Index: i}, To: flow.End{Kind: flow.Pod, Index: to}, Family: flow.IPv4, Proto: netset.TCP, Port: 5672, ViaService: true}
		d := eval.Decide(m, &f)
		all := l.Decide(&d, layers.ByAddress)
		does := all.Steps[layers.IdentityIssued].Answer == layers.Allow && all.Steps[layers.AccessPolicy].Answer == layers.Allow
		said := slices.Contains(p.Pass, snap.Pods[i].Owner.String()) || slices.Contains(p.Pass, snap.Pods[i].String())
		if does != said {
			t.Errorf("%s passes: %v, and is said to: %v", &snap.Pods[i], does, said)
		}
		if does {
			passed++
		}
	}
	if passed == 0 || passed == len(snap.Pods) {
		t.Errorf("%d of %d pods pass: nothing was told apart", passed, len(snap.Pods))
	}
}

// TestToldApart: pods of one class that differ in what is issued to them are described apart, and together
// where no layer speaks.
func TestToldApart(t *testing.T) {
	const pods = `
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: a}}, spec: {serviceAccountName: one, containers: [{name: a}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x, labels: {app: a}}, spec: {serviceAccountName: two, containers: [{name: a}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: x, labels: {app: a}}, spec: {serviceAccountName: one, containers: [{name: a}]}}
`
	m, l := compile(t, manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(pods)}, policy.Behaviour{})
	if got := explain.NewExplainer(m, l).Endpoints("x", []int{0, 1, 2}); l != nil || len(got) != 1 || got[0].Layers != nil {
		t.Errorf("without layers: %+v", got)
	}
	m, l = compile(t, manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(pods + `---
{apiVersion: sallyport.dev/v1alpha1, kind: WorkloadIdentity, metadata: {name: one, namespace: x}, spec: {serviceAccountName: one}}
`)}, policy.Behaviour{})
	got := explain.NewExplainer(m, l).Endpoints("x", []int{0, 1, 2})
	if len(got) != 2 || !slices.Equal(got[0].Pods, []string{"x/pod/a", "x/pod/c"}) || got[0].Layers.Issued != layers.Allow || got[1].Layers.Issued != layers.Deny {
		t.Errorf("with layers: %+v", got)
	}
}
