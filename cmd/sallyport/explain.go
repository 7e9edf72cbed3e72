package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/report"
)

func newExplain() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "explain POLICY|END",
		Short: "Say in sentences what a policy does, or what all policies together do to one end",
		Long: `Say in sentences what a policy does: what it selects, what that isolates, what it lets
through, and what it makes no difference to. Or, for a pod or workload, the merged effect of
every policy on it, with the place of every rule that contributes.

A policy is ns/networkpolicy/name, networkpolicy/name (netpol) with -n, clusternetworkpolicy/name,
adminnetworkpolicy/name (anp) or baselineadminnetworkpolicy/name (banp). Or one of Sallyport's own
objects: ns/accesspolicy/name (acp), ns/workloadidentity/name (wid), ns/externalservice/name (xsvc),
clusterexternalservice/name (cxsvc). Where the input holds some, an end shows its identity too, and who
may use it by theirs.`,
		Example: `  sallyport explain -f manifests shop/db
  sallyport explain -f manifests shop/netpol/allow-api
  sallyport explain -f manifests shop/acp/api
  sallyport explain -f manifests clusternetworkpolicy/tenants -o json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("explain takes one policy or end, and got %d (see sallyport explain --help)", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := validOutput(output, "text", "json"); err != nil {
				return err
			}
			w, err := in.load(c)
			if err != nil {
				return err
			}
			if w.enforcement.Text != "" {
				w.notes = append(w.notes, w.enforcement.Text)
			}
			return w.explain(c, args[0], in.namespace, output)
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	c.ValidArgsFunction = in.completer(1, policyOrEndChoices)
	in.completeFlags(c, map[string][]string{"output": {"text", "json"}})
	return c
}

func (w *world) explain(c *cobra.Command, name, namespace, output string) error {
	if ref, index, isOwn, err := w.findOwn(name, namespace); isOwn || err != nil {
		if err != nil {
			return err
		}
		return w.explainOwn(c, ref.Kind, index, output)
	}
	p, isPolicy, err := w.findPolicy(name, namespace)
	if err != nil {
		return err
	}
	if isPolicy {
		facts := explain.OfPolicy(w.model, p)
		if output == "json" {
			return report.ExplainPolicyJSON(c.OutOrStdout(), &facts, w.notes)
		}
		return report.ExplainPolicy(c.OutOrStdout(), &facts, w.notes)
	}
	t, err := question.ParseTerm(name, true)
	if err != nil {
		return err
	}
	if t.Port.Given {
		return fmt.Errorf("%q: explain is about every port at once (leave the port out, or ask check)", name)
	}
	end, err := w.resolver.Resolve(t)
	if err != nil {
		return err
	}
	if len(end.Pods) == 0 {
		return fmt.Errorf("%s is no pod: policies decide at pods only (explain a pod or workload, or ask check about this end)", end.Label)
	}
	list := explain.NewExplainer(w.model, w.resolver.Layers()).Endpoints(end.Label, end.Pods)
	notes := append(slices.Clone(end.Notes), w.notes...)
	if output == "json" {
		return report.ExplainEndpointsJSON(c.OutOrStdout(), list, notes)
	}
	return report.ExplainEndpoints(c.OutOrStdout(), list, notes)
}

var policyKinds = map[string]string{
	"networkpolicy": "NetworkPolicy", "networkpolicies": "NetworkPolicy", "netpol": "NetworkPolicy",
	"clusternetworkpolicy": "ClusterNetworkPolicy", "clusternetworkpolicies": "ClusterNetworkPolicy", "cnp": "ClusterNetworkPolicy",
	"adminnetworkpolicy": "AdminNetworkPolicy", "adminnetworkpolicies": "AdminNetworkPolicy", "anp": "AdminNetworkPolicy",
	"baselineadminnetworkpolicy": "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy", "banp": "BaselineAdminNetworkPolicy",
}

// refNamed reads kind/name or ns/kind/name; the kind is empty where it is none of the kinds, whose spellings are
// given. Objects of the kinds in clusterWide have no namespace.
func refNamed(name, namespace string, kinds map[string]string, clusterWide ...string) cluster.PolicyRef {
	parts := strings.Split(name, "/")
	ref := cluster.PolicyRef{}
	switch len(parts) {
	case 2:
		ref.Kind, ref.Namespace, ref.Name = kinds[strings.ToLower(parts[0])], namespace, parts[1]
	case 3:
		ref.Namespace, ref.Kind, ref.Name = parts[0], kinds[strings.ToLower(parts[1])], parts[2]
	}
	if slices.Contains(clusterWide, ref.Kind) {
		ref.Namespace = ""
	}
	return ref
}

// findPolicy looks a policy up; isPolicy is false where the name is not written as a policy's.
func (w *world) findPolicy(name, namespace string) (p *policy.Policy, isPolicy bool, err error) {
	ref := refNamed(name, namespace, policyKinds, "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy")
	if ref.Kind == "" {
		return nil, false, nil
	}
	if p = w.model.Policy(ref); p != nil {
		return p, true, nil
	}
	all := make([]cluster.PolicyRef, 0, len(w.model.Policies()))
	for _, o := range w.model.Policies() {
		all = append(all, o.Ref)
	}
	return nil, true, noSuch(ref, others(ref, all))
}

// noSuch is the error for an object that is not there; candidates may have been meant.
func noSuch(ref cluster.PolicyRef, candidates []string) error {
	hint := "there is none of that kind"
	if len(candidates) > 0 {
		const most = 8
		more := ""
		if len(candidates) > most {
			more = fmt.Sprintf(" and %d more", len(candidates)-most)
			candidates = candidates[:most]
		}
		hint = "there is " + strings.Join(candidates, ", ") + more
	}
	return fmt.Errorf("no %s %q in the input (%s)", ref.Kind, strings.TrimPrefix(ref.Namespace+"/"+ref.Name, "/"), hint)
}

// others lists what may have been meant: what has the same name elsewhere, else what is in the namespace.
func others(ref cluster.PolicyRef, all []cluster.PolicyRef) []string {
	var namesakes, neighbours []string
	for _, o := range all {
		switch {
		case o.Kind != ref.Kind:
		case o.Name == ref.Name:
			namesakes = append(namesakes, fullName(o))
		case o.Namespace == ref.Namespace:
			neighbours = append(neighbours, o.Name)
		}
	}
	if len(namesakes) > 0 {
		return namesakes
	}
	return neighbours
}

// fullName gives ns/kind/name.
func fullName(r cluster.PolicyRef) string {
	return r.Namespace + "/" + strings.ToLower(r.Kind) + "/" + r.Name
}
