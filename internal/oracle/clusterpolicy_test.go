package oracle

import (
	"fmt"
	"strings"
	"testing"
)

// cnp gives a policy with one egress rule over every pod.
func cnp(name, tier string, priority int, rule string) string {
	return fmt.Sprintf("%s: {tier: %s, priority: %d, subject: {namespaces: {}}, egress: [%s]}\n", name, tier, priority, rule)
}

func ruleText(action, peer, more string) string {
	return fmt.Sprintf("{action: %s, to: [%s]%s}", action, peer, more)
}

func TestOrderOfClusterPolicies(t *testing.T) { // S40 to S42
	const all, none = "{namespaces: {}}", "{namespaces: {matchLabels: {team: none}}}"
	admin := func(name string, priority int, action string) string {
		return cnp(name, "Admin", priority, ruleText(action, all, ""))
	}
	base := func(name string, priority int, action string) string {
		return cnp(name, "Baseline", priority, ruleText(action, all, ""))
	}
	const isolate = "p: {policyTypes: [Egress]}\n"
	const ask = "a > c tcp/80"
	run(t, []ruleCase{
		{rule: "S40", policies: admin("A", 1, "Deny") + admin("B", 0, "Accept"), ask: ask, egress: "allowed admin-rule B 0/0/-1"},
		{rule: "S40", policies: admin("B", 1, "Accept") + admin("A", 1, "Deny"), ask: ask, egress: "ambiguous admin-rule A 0/0/-1"},
		{rule: "S40", policies: admin("B", 1, "Accept") + admin("A", 1, "Accept"), ask: ask, egress: "allowed admin-rule A 0/0/-1"},
		{rule: "S40", policies: admin("A", 1, "Deny") + admin("AdminNetworkPolicy/Z", 1, "Accept"), ask: ask, egress: "ambiguous admin-rule Z 0/0/-1"},
		{rule: "S40", policies: admin("A", 1, "Pass") + admin("B", 1, "Deny"), ask: ask, egress: "ambiguous default"},
		{rule: "S40", policies: admin("A", 1, "Pass") + admin("B", 1, "Deny") + isolate, ask: ask, egress: "denied isolated p"},
		{rule: "S40", policies: admin("B", 1, "Pass") + admin("A", 1, "Deny") + isolate, ask: ask, egress: "denied admin-rule A 0/0/-1"},
		{rule: "S40", policies: admin("A", 1, "Pass") + admin("B", 2, "Deny"), ask: ask, egress: "allowed default"},
		{rule: "S40", policies: cnp("A", "Admin", 1, ruleText("Deny", none, "")+", "+ruleText("Accept", all, "")+", "+ruleText("Deny", all, "")), ask: ask, egress: "allowed admin-rule A 1/0/-1"},
		{rule: "S41", policies: cnp("A", "Admin", 0, ruleText("Accept", none, "")), ask: ask, egress: "allowed default"},
		{rule: "S41", policies: admin("A", 0, "Accept") + "p: {policyTypes: [Egress]}\n" + "q: {}", ask: "a > b tcp/80", egress: "allowed admin-rule A 0/0/-1", ingress: "denied isolated q"},
		{rule: "S41", policies: admin("A", 0, "Pass") + base("B", 0, "Deny"), ask: ask, egress: "denied baseline-rule B 0/0/-1"},
		{rule: "S41", policies: admin("A", 0, "Accept") + admin("B", 0, "Pass"), ask: ask, egress: "allowed admin-rule A 0/0/-1"},
		{rule: "S41", policies: admin("A", 0, "Accept") + admin("B", 0, "Pass") + isolate, ask: ask, egress: "ambiguous admin-rule A 0/0/-1"},
		{rule: "S41", policies: base("A", 0, "Pass") + base("B", 1, "Deny"), ask: ask, egress: "allowed default"},
		{rule: "S42", policies: base("B", 0, "Accept") + isolate, ask: ask, egress: "denied isolated p"},
		{rule: "S42", policies: base("B", 0, "Deny") + "p: {ingress: []}", ask: ask, egress: "denied baseline-rule B 0/0/-1"},
		{rule: "S42", policies: base("B", 0, "Deny") + "p: {egress: [{}]}", ask: ask, egress: "allowed policy-rule p 0/-1/-1"},
		{rule: "S46", policies: admin("A", 0, "Deny"), ask: "a > a tcp/80", egress: "allowed self"},
		{rule: "S46", policies: admin("A", 0, "Deny"), ask: "a > a tcp/80 via service", egress: "denied admin-rule A 0/0/-1"},
	})
}

func TestPoison(t *testing.T) { // S43, S44
	const all, named = "{namespaces: {}}", ", protocols: [{destinationNamedPort: http}]"
	var cases []ruleCase
	for _, poison := range []struct{ peer, more string }{
		{"", ""}, {"{}", ""}, {all + ", {}", ""}, {"{namespaces: {}, nodes: {}}", ""}, {"{networks: []}", ""},
		{all, ", protocols: [{}]"}, {all, ", protocols: [{tcp: {destinationPort: {number: 80}}}, {tcp: {}}]"},
		{all, ", protocols: [{tcp: {destinationPort: {}}}]"}, {all, ", protocols: [{udp: {destinationPort: {number: 80}}, destinationNamedPort: http}]"},
		{"{networks: [10.0.0.0/8]}, " + all, named}, {all + ", {nodes: {}}", named}, {"{domainNames: [x.org]}", named},
	} {
		for action, want := range map[string]string{"Accept": "allowed default", "Deny": "denied admin-rule A 0/-1/-1", "Pass": "denied admin-rule A 0/-1/-1"} {
			cases = append(cases, ruleCase{rule: "S43", policies: cnp("A", "Admin", 0, ruleText(action, poison.peer, poison.more)), ask: "a > c tcp/80", egress: want})
		}
	}
	cases = append(cases,
		ruleCase{rule: "S44", policies: cnp("A", "Admin", 0, ruleText("Deny", "{domainNames: [x.org]}", "")), ask: "a > c tcp/80", egress: "denied admin-rule A 0/-1/-1"},
		ruleCase{rule: "S44", policies: cnp("A", "Admin", 0, ruleText("Pass", "{domainNames: [x.org]}", "")), ask: "a > c tcp/80", egress: "denied admin-rule A 0/-1/-1"},
		ruleCase{rule: "S44", policies: cnp("A", "Admin", 0, ruleText("Accept", "{domainNames: [x.org]}, "+all, "")), ask: "a > c tcp/80", egress: "allowed admin-rule A 0/1/-1"},
		ruleCase{rule: "S43", policies: "A: {tier: Admin, priority: 0, subject: {namespaces: {matchLabels: {team: z}}}, egress: [{action: Deny, to: []}]}", ask: "a > c tcp/80", egress: "allowed default"},
		ruleCase{rule: "S43", policies: "A: {tier: Admin, priority: 0, subject: {namespaces: {}}, ingress: [{action: Deny, from: []}]}", ask: "a > c tcp/80", egress: "allowed default", ingress: "denied admin-rule A 0/-1/-1"},
	)
	// An action that is none of the three is read as a poisoned Deny, whatever the rule says.
	for _, action := range []string{"Log", "accept", `""`} {
		cases = append(cases, ruleCase{rule: "S43", policies: cnp("A", "Admin", 0, ruleText(action, "{nodes: {}}", named)), ask: "a > c tcp/80", egress: "denied admin-rule A 0/-1/-1"})
	}
	// A subject without exactly one field selects every pod and poisons all rules of its policy.
	const ofNone = "{matchLabels: {team: none}}"
	for _, subject := range []string{"{}", "{namespaces: " + ofNone + ", pods: {namespaceSelector: " + ofNone + ", podSelector: {}}}"} {
		policy := func(rules string) string {
			return "A: {tier: Admin, priority: 0, subject: " + subject + ", egress: [" + rules + "]}"
		}
		accept, pass := ruleText("Accept", all, ""), ruleText("Pass", "{networks: [1.0.0.0/8]}", "")
		cases = append(cases,
			ruleCase{rule: "S43", policies: policy(ruleText("Deny", all, "")), ask: "a > 1.2.3.4 tcp/80", egress: "denied admin-rule A 0/-1/-1"},
			ruleCase{rule: "S43", policies: policy(accept), ask: "a > c tcp/80", egress: "allowed default"},
			ruleCase{rule: "S43", policies: policy(accept + ", " + pass), ask: "g > c tcp/80", egress: "denied admin-rule A 1/-1/-1"},
			ruleCase{rule: "S43", policies: policy(pass), ask: "h > c tcp/80", egress: "allowed no-policy-here"},
			ruleCase{rule: "S43", policies: policy(pass), ask: "a > c tcp/80", ingress: "allowed default"},
		)
	}
	run(t, cases)
}

func TestClusterPeers(t *testing.T) { // S44, S45
	const yes, no, unknown = "denied admin-rule A 0/0/-1", "allowed default", "unknown default"
	var cases []ruleCase
	for _, c := range []struct {
		peer, to string
		o        Options
		want     string
	}{
		{"{namespaces: {}}", "c", Options{}, yes},
		{"{namespaces: {}}", "g", Options{}, yes},
		{"{namespaces: {matchLabels: {team: z}}}", "g", Options{}, unknown},
		{"{namespaces: {}}", "h", Options{}, no},
		{"{namespaces: {}}", "1.2.3.4", Options{}, no},
		{"{namespaces: {}}", "n1", Options{}, no},
		{"{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: c}}}}", "c", Options{}, yes},
		{"{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: c}}}}", "b", Options{}, no},
		{"{pods: {namespaceSelector: {matchLabels: {team: z}}, podSelector: {matchLabels: {app: c}}}}", "g", Options{}, no},
		{"{networks: [11.0.0.0/8, 10.0.1.0/24]}", "c", Options{}, yes},
		{"{networks: [10.1.0.0/24]}", "n1", Options{}, yes},
		{"{networks: [10.1.0.0/24]}", "h", Options{}, yes},
		{"{networks: [0.0.0.0/0]}", "t", Options{}, yes},
		{"{networks: [10.0.0.0/8]}", "t", Options{}, no},
		{"{networks: [10.0.0.0/8, 0.0.0.0/0]}", "t", Options{Strict: true}, yes},
		{"{networks: [10.0.0.0/8]}", "t", Options{Strict: true}, unknown},
		{"{nodes: {}}", "n2", Options{}, yes},
		{"{nodes: {}}", "u", Options{}, yes},
		{"{nodes: {}}", "c", Options{}, no},
		{"{nodes: {}}", "1.2.3.4", Options{}, no},
		{"{nodes: {matchLabels: {role: w}}}", "n1", Options{}, yes},
		{"{nodes: {matchLabels: {role: w}}}", "h", Options{}, yes},
		{"{nodes: {matchLabels: {role: v}}}", "h", Options{}, no},
		{"{nodes: {matchLabels: {role: w}}}", "n2", Options{}, unknown},
		{"{nodes: {matchLabels: {role: w}}}", "u", Options{}, unknown},
	} {
		cases = append(cases, ruleCase{rule: "S44", policies: cnp("A", "Admin", 0, ruleText("Deny", c.peer, "")), ask: "a > " + c.to + " tcp/80", o: c.o, egress: c.want})
	}
	domains := cnp("A", "Admin", 0, ruleText("Accept", "{domainNames: [x.org]}", "")) + "p: {policyTypes: [Egress]}"
	cases = append(cases,
		ruleCase{rule: "S44", policies: domains, ask: "a > 1.2.3.4 tcp/80", egress: "unknown isolated p"},
		ruleCase{rule: "S44", policies: domains, ask: "a > c tcp/80", egress: "denied isolated p"},
		ruleCase{rule: "S44", policies: domains, ask: "a > n2 tcp/80", egress: "denied isolated p"},
		ruleCase{rule: "S44", policies: "A: {tier: Admin, priority: 0, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: a}}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}", ask: "c > a tcp/80", ingress: yes},
		ruleCase{rule: "S44", policies: "A: {tier: Admin, priority: 0, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: b}}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}", ask: "c > a tcp/80", ingress: no},
	)
	for _, c := range []struct{ protocol, ask, want string }{
		{"{tcp: {destinationPort: {number: 80}}}", "a > c tcp/80", "0"},
		{"{tcp: {destinationPort: {number: 80}}}", "a > c udp/80", ""},
		{"{udp: {destinationPort: {range: {start: 80, end: 82}}}}", "a > c udp/82", "0"},
		{"{sctp: {destinationPort: {range: {start: 80, end: 82}}}}", "a > c sctp/83", ""},
		{"{sctp: {destinationPort: {number: 9}}}, {tcp: {destinationPort: {number: 80}}}", "a > c tcp/80", "1"},
		{"{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}", "a > c icmp", ""},
		{"{destinationNamedPort: http}", "a > c tcp/8080", "0"},
		{"{destinationNamedPort: http}", "a > c udp/81", "0"}, // the protocol is the container port's
		{"{destinationNamedPort: http}", "a > c udp/80", ""},
		{"{destinationNamedPort: none}", "a > c tcp/80", ""},
	} {
		want := no
		if c.want != "" {
			want = strings.TrimSuffix(yes, "-1") + c.want
		}
		cases = append(cases, ruleCase{rule: "S45", policies: cnp("A", "Admin", 0, ruleText("Deny", "{namespaces: {}}", ", protocols: ["+c.protocol+"]")), ask: c.ask, egress: want})
	}
	cases = append(cases, ruleCase{rule: "S45", policies: cnp("A", "Admin", 0, ruleText("Deny", "{namespaces: {}}", "")), ask: "a > c icmp", egress: yes})
	run(t, cases)
}

// TestAssignments: unknown matches are independent, except that a subject is turned once for its policy.
func TestAssignments(t *testing.T) {
	const unknownPeer, all = "{namespaces: {matchLabels: {team: z}}}", "{namespaces: {}}"
	subject := func(name, rules string) string {
		return fmt.Sprintf("%s: {tier: Admin, priority: 0, subject: {namespaces: {matchLabels: {team: z}}}, egress: [%s]}\n", name, rules)
	}
	run(t, []ruleCase{
		// Whichever of the two rules matches, the answer is the same.
		{rule: "verdict", policies: cnp("A", "Admin", 0, ruleText("Deny", unknownPeer, "")+", "+ruleText("Deny", all, "")), ask: "a > g tcp/80", egress: "denied admin-rule A 1/0/-1"},
		{rule: "verdict", policies: cnp("A", "Admin", 0, ruleText("Accept", unknownPeer, "")+", "+ruleText("Deny", all, "")), ask: "a > g tcp/80", egress: "unknown admin-rule A 1/0/-1"},
		// Two rules with the same unknown peer are independent: the second may match alone.
		{rule: "verdict", policies: cnp("A", "Admin", 0, ruleText("Accept", unknownPeer, "")+", "+ruleText("Deny", unknownPeer, "")), ask: "a > g tcp/80", egress: "unknown default"},
		// The subject is turned once: the first rule always hides the second.
		{rule: "verdict", policies: subject("A", ruleText("Accept", all, "")+", "+ruleText("Deny", all, "")), ask: "g > a tcp/80", egress: "allowed default"},
		{rule: "verdict", policies: subject("A", ruleText("Deny", all, "")), ask: "g > a tcp/80", egress: "unknown default"},
		{rule: "verdict", policies: subject("A", ruleText("Deny", all, "")) + cnp("B", "Baseline", 0, ruleText("Deny", all, "")), ask: "g > a tcp/80", egress: "denied baseline-rule B 0/0/-1"},
		// Subjects of two policies are independent, even with the same selector.
		{rule: "verdict", policies: subject("A", ruleText("Accept", all, "")) + strings.Replace(subject("B", ruleText("Deny", all, "")), "priority: 0", "priority: 1", 1), ask: "g > a tcp/80", egress: "unknown default"},
		// A poisoned rule of a policy with an unknown subject.
		{rule: "verdict", policies: subject("A", "{action: Pass, to: []}"), ask: "g > a tcp/80", egress: "unknown default"},
		// Ambiguous under one assignment, denied under the other.
		{rule: "verdict", policies: cnp("A", "Admin", 0, ruleText("Deny", all, "")) + cnp("B", "Admin", 0, ruleText("Accept", unknownPeer, "")), ask: "a > g tcp/80", egress: "unknown admin-rule A 0/0/-1"},
		{rule: "verdict", policies: cnp("A", "Admin", 0, ruleText("Deny", all, "")) + cnp("B", "Admin", 0, ruleText("Accept", all, "")) + cnp("C", "Admin", 0, ruleText("Accept", unknownPeer, "")), ask: "a > g tcp/80", egress: "ambiguous admin-rule A 0/0/-1"},
		// A pair with a part that is no is no: the port makes the unknown peer irrelevant.
		{rule: "verdict", policies: cnp("A", "Admin", 0, ruleText("Deny", unknownPeer, ", protocols: [{tcp: {destinationPort: {number: 81}}}]")), ask: "a > g tcp/80", egress: "allowed default"},
		// An earlier unknown pair does not hide a later one that is yes.
		{rule: "verdict", policies: "p: {ingress: [{from: [{namespaceSelector: {matchLabels: {team: z}}}, {namespaceSelector: {}}], ports: [{port: 81}, {port: 80}]}]}", ask: "g > a tcp/80", ingress: "allowed policy-rule p 0/1/1"},
		// Own node unknown, but a rule allows anyway.
		{rule: "verdict", policies: "p: {ingress: [{}]}", ask: "u > a tcp/80", ingress: "allowed policy-rule p 0/-1/-1"},
	})
}

func TestFlowVerdict(t *testing.T) {
	for _, c := range []struct{ policies, ask, want string }{
		{"", "a > b tcp/80", "allowed"},
		{"p: {}", "a > b tcp/80", "denied"},
		{cnp("A", "Admin", 0, ruleText("Accept", "{namespaces: {}}", "")) + cnp("B", "Admin", 0, ruleText("Deny", "{namespaces: {}}", "")), "a > b tcp/80", "ambiguous"},
		{cnp("A", "Admin", 0, ruleText("Accept", "{namespaces: {}}", "")) + cnp("B", "Admin", 0, ruleText("Deny", "{namespaces: {}}", "")) + "p: {ingress: []}", "a > b tcp/80", "denied"},
		{cnp("A", "Admin", 0, ruleText("Accept", "{namespaces: {}}", "")) + cnp("B", "Admin", 0, ruleText("Deny", "{namespaces: {}}", "")) +
			"p: {ingress: [{from: [{namespaceSelector: {matchLabels: {team: z}}}]}]}", "g > a tcp/80", "unknown"},
		{"p: {ingress: [{from: [{namespaceSelector: {matchLabels: {team: z}}}]}]}", "g > a tcp/80", "unknown"},
	} {
		s := base()
		add(t, s, c.policies)
		if a := Ask(s, Options{}, question(t, s, c.ask)); a.Verdict.String() != c.want {
			t.Errorf("%s\n%s\n%v, want %s", c.ask, c.policies, a.Verdict, c.want)
		}
	}
}

func TestTooManyUnknowns(t *testing.T) {
	unknownRules := func(n int) string {
		return cnp("A", "Admin", 0, strings.TrimSuffix(strings.Repeat(ruleText("Deny", "{namespaces: {matchLabels: {team: z}}}", "")+", ", n), ", "))
	}
	for n, want := range map[int]bool{MaxUnknowns: false, MaxUnknowns + 1: true} {
		s := base()
		add(t, s, unknownRules(n))
		if a := Ask(s, Options{}, question(t, s, "a > g tcp/80")); a.Skipped != want || (a.Verdict == 0) != want {
			t.Errorf("%d unknown matches: %+v", n, a)
		}
	}
}
