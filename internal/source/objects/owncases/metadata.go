package owncases

const (
	okSpec = "\nspec: {serviceAccountName: web}"
	unread = "of the metadata only what names the object is read"
)

// metadata has what is outside of the spec, where all kinds are alike.
var metadata = []Case{
	{Kind: identity, Object: "metadata: {name: m-1, labels: {app: web}, annotations: {a: 'b c'}, finalizers: [example.org/f]}" + okSpec},
	{Kind: identity, Object: "metadata: {name: m-2, creationTimestamp: null, labels: null}" + okSpec},
	{Kind: identity, Object: "metadata: {name: m-3}" + okSpec + "\nstatus: {observedGeneration: 1, conditions: [{type: Ready, status: 'True', reason: R, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]}"},
	{Kind: identity, Object: "metadata: {name: m-4}" + okSpec + "\nstatus: {conditions: 5}"},
	{Kind: identity, Object: "metadata: {name: m-5}" + okSpec + "\nstatus: {conditions: [null]}"},
	{Kind: identity, Object: "metadata: {name: m-6}" + okSpec + "\nstatus: null"},
	{Kind: identity, Object: "metadata: {name: m-7}" + okSpec + "\nstatus: {phase: Ready}", Differs: "a status is the server's own and never read"},
	{Kind: identity, Object: "metadata: {name: m-8, labels: {a: 'b c'}}" + okSpec, Differs: unread},
	{Kind: identity, Object: "metadata: {name: m-9, annotations: {'a b': c}}" + okSpec, Differs: unread},
	{Kind: identity, Object: "metadata: {name: m-10, ownerReferences: [{kind: Deployment, name: web}]}" + okSpec, Differs: unread},
	{Kind: identity, Object: "metadata: {name: m}", Want: "spec is missing"},
	{Kind: identity, Object: "metadata: {name: m}" + okSpec + "\ndata: {}", Want: "unknown field data"},
	{Kind: identity, Object: "spec: {serviceAccountName: web}", Want: "metadata.name is missing"},
	{Kind: identity, Object: "metadata: {}" + okSpec, Want: "metadata.name is missing"},
	{Kind: identity, Object: "metadata: []" + okSpec, Want: "metadata needs a map, not a list\n" +
		"metadata.name is missing"},
	{Kind: identity, Object: "metadata: {name: 5}" + okSpec, Want: "metadata.name is missing\n" +
		"metadata.name needs a string, not the number 5 (hint: put it in quotes)"},
	{Kind: identity, Object: "metadata: {name: M}" + okSpec, Want: `metadata.name "M" is not valid: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
	{Kind: identity, Object: "metadata: {name: a/b}" + okSpec, Want: `metadata.name "a/b" is not valid: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
	{Kind: identity, Object: "metadata: {name: m, label: {a: b}}" + okSpec, Want: "unknown field metadata.label (hint: did you mean labels?)"},
	{Kind: identity, Object: "metadata: {name: m, labels: {a: 1}}" + okSpec, Want: "metadata.labels.a needs a string, not the number 1 (hint: put it in quotes)"},
	{Kind: identity, Object: "metadata: {name: m, labels: [a]}" + okSpec, Want: "metadata.labels needs a map, not a list"},
	{Kind: identity, Object: "metadata: {name: m, finalizers: [null]}" + okSpec, Want: "metadata.finalizers[0] is empty (hint: fill the item in or leave it out)"},
	{Kind: identity, Object: "metadata: {generateName: m-}" + okSpec, Want: "metadata.name is missing: generateName alone names nothing yet (hint: give the object a name)", Differs: "a server makes a name up; a file has to say which object it means"},
}
