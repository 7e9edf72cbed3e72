package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/platform"
)

// completing reads the input of a command line that is being typed. What cannot be read completes nothing: a
// message would end up in somebody's shell.
func (in *input) completing(c *cobra.Command, args []string) *cluster.Snapshot {
	own := *in
	if c.Name() == "diff" || c.Name() == "test" {
		own.files, own.kustomize = inputs(args[:min(len(args), 1)])
	}
	if slices.Contains(own.files, "-") || len(own.files)+len(own.kustomize) == 0 {
		return nil // a whole cluster is not read for a key pressed
	}
	quiet := &cobra.Command{}
	quiet.SetIn(strings.NewReader(""))
	quiet.SetErr(io.Discard)
	b, err := own.read(quiet)
	if err != nil {
		return nil
	}
	snap, err := b.Build()
	if err != nil {
		return nil
	}
	return snap
}

// completer makes the completion of a verb's arguments: choices lists all that may be meant, and most is how
// many arguments there are.
func (in *input) completer(most int, choices func(*cluster.Snapshot, string) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		snap := in.completing(c, args)
		if snap == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return byNamespace(choices(snap, word), word)
	}
}

// byNamespace gives the choices that begin with a word; while no namespace is chosen, namespaces stand for
// what is in them.
func byNamespace(choices []string, word string) ([]string, cobra.ShellCompDirective) {
	var out []string
	directive := cobra.ShellCompDirectiveNoFileComp
	for _, c := range choices {
		if !strings.HasPrefix(c, word) {
			continue
		}
		name, _, _ := strings.Cut(c, "\t")
		if namespace, _, ok := strings.Cut(name, "/"); ok && !strings.Contains(word, "/") && namespace != "node" && namespace != "cxsvc" {
			c = namespace + "/"
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		out = append(out, c)
	}
	slices.Sort(out)
	return slices.Compact(out), directive
}

// endChoices lists the ends of a question; with a port begun, the ports of what stands before it.
func endChoices(s *cluster.Snapshot, word string) []string {
	if end, _, ok := strings.Cut(word, ":"); ok {
		return portChoices(s, end)
	}
	kinds := map[string]map[string]bool{}
	for i := range s.Pods {
		o := s.Pods[i].Owner
		name := o.Namespace + "/" + o.Name
		if kinds[name] == nil {
			kinds[name] = map[string]bool{}
		}
		kinds[name][o.Kind] = true
	}
	out := []string{"external\tevery address outside"}
	for name, of := range kinds {
		namespace, short, _ := strings.Cut(name, "/")
		for kind := range of {
			if len(of) > 1 {
				name = namespace + "/" + kind + "/" + short
			}
			out = append(out, name+"\t"+kind)
		}
	}
	for i := range s.Services {
		out = append(out, s.Services[i].Namespace+"/svc/"+s.Services[i].Name+"\tservice")
	}
	for i := range s.Nodes {
		out = append(out, "node/"+s.Nodes[i].Name+"\tnode")
	}
	for i := range s.External {
		out = append(out, externalChoice(&s.External[i]))
	}
	return harmless(out)
}

// externalChoice is a service outside the cluster, by the short name of its kind.
func externalChoice(x *cluster.ExternalService) string {
	if x.Namespace == "" {
		return "cxsvc/" + x.Name + "\tservice outside"
	}
	return x.Namespace + "/xsvc/" + x.Name + "\tservice outside"
}

// portChoices lists what the pods or the Service of an end declare.
func portChoices(s *cluster.Snapshot, end string) []string {
	var out []string
	add := func(name string, port uint16, proto string) {
		if name != "" {
			out = append(out, fmt.Sprintf("%s:%s\t%d/%s", end, name, port, proto))
		}
		text := strconv.Itoa(int(port))
		if proto != "tcp" {
			text += "/" + proto
		}
		out = append(out, fmt.Sprintf("%s:%s\t%s", end, text, name))
	}
	for i := range s.External {
		x := &s.External[i]
		if choice, _, _ := strings.Cut(externalChoice(x), "\t"); choice != end {
			continue
		}
		for _, p := range x.Spec.Ports {
			add("", uint16(p.Port), strings.ToLower(string(p.Protocol))) // the first of a range
		}
	}
	parts := strings.Split(end, "/")
	if len(parts) < 2 {
		return nil
	}
	namespace, name := parts[0], parts[len(parts)-1]
	for i := range s.Pods {
		if p := &s.Pods[i]; p.Namespace == namespace && (p.Owner.Name == name || p.Name == name) && parts[1] != "svc" {
			for _, port := range p.Ports {
				add(port.Name, port.Port, port.Proto.String())
			}
		}
	}
	for i := range s.Services {
		if v := &s.Services[i]; len(parts) == 3 && parts[1] == "svc" && v.Namespace == namespace && v.Name == name {
			for _, port := range v.Ports {
				add(port.Name, port.Port, port.Proto.String())
			}
		}
	}
	return harmless(out)
}

// policyChoices lists policies.
func policyChoices(s *cluster.Snapshot, _ string) []string {
	var out []string
	for i := range s.NetworkPolicies {
		o := s.NetworkPolicies[i].Object
		out = append(out, o.Namespace+"/netpol/"+o.Name+"\tpolicy")
	}
	for i := range s.ClusterPolicies {
		out = append(out, strings.ToLower(s.ClusterPolicies[i].Kind)+"/"+s.ClusterPolicies[i].Object.Name+"\tpolicy")
	}
	for i := range s.AccessPolicies {
		out = append(out, s.AccessPolicies[i].Namespace+"/acp/"+s.AccessPolicies[i].Name+"\taccess policy")
	}
	for i := range s.Identities {
		out = append(out, s.Identities[i].Namespace+"/wid/"+s.Identities[i].Name+"\tworkload identity")
	}
	return harmless(out)
}

func policyOrEndChoices(s *cluster.Snapshot, word string) []string {
	return append(policyChoices(s, word), endChoices(s, word)...)
}

// harmless leaves out what would act on a shell's terminal; a tab parts a choice from its description.
func harmless(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool {
		return strings.ContainsFunc(strings.Replace(s, "\t", "", 1), func(r rune) bool { return names.Unsafe(r) })
	})
}

// completeFlags completes the flags that take one of a few words, and namespaces.
func (in *input) completeFlags(c *cobra.Command, words map[string][]string) {
	for flag, list := range words {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	}
	if c.Flags().Lookup("plugin") != nil {
		_ = c.RegisterFlagCompletionFunc("plugin", cobra.FixedCompletions(platform.Profiles(), cobra.ShellCompDirectiveNoFileComp))
	}
	_ = c.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		raw, err := in.live.config().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return harmless(slices.Sorted(maps.Keys(raw.Contexts))), cobra.ShellCompDirectiveNoFileComp
	})
	_ = c.RegisterFlagCompletionFunc("namespace", func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		var out []string
		if snap := in.completing(c, args); snap != nil {
			for i := range snap.Namespaces {
				if n := snap.Namespaces[i].Name; strings.HasPrefix(n, word) {
					out = append(out, n)
				}
			}
		}
		return harmless(out), cobra.ShellCompDirectiveNoFileComp
	})
}
