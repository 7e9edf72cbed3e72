package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport.dev/sallyport/internal/azure"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/report"
)

// newImport is the parent of a verb for each place that facts come from.
func newImport() *cobra.Command {
	c := &cobra.Command{
		Use:   "import",
		Short: "Print what is known elsewhere of services outside, as objects that every verb reads",
		Long: `Print what is known elsewhere of services outside, as objects that every verb reads. Only files are
read.`,
		Example: `  sallyport import azure-sql --help`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("import: %q is none of azure-sql (see sallyport import --help)", args[0])
			}
			return errors.New("import wants to know from where: azure-sql (see sallyport import --help)")
		},
	}
	c.AddCommand(newImportAzureSQL())
	return c
}

// azureSQL holds the flags of the verb.
type azureSQL struct {
	server, vnetRules, template, parameters, aks string
	firewallRules, privateEndpoints              []string
	namespace, name                              string
	stdin                                        string // the flag that takes standard input
	read                                         []string
}

func newImportAzureSQL() *cobra.Command {
	var in azureSQL
	c := &cobra.Command{
		Use:   "azure-sql",
		Short: "Print an Azure SQL server as an ExternalService, from files",
		Long: `Print an Azure SQL server as an ExternalService, or as a ClusterExternalService without -n: YAML to
review, keep with the manifests and give to every verb with -f. What the files leave open is
said in the comment above it. Azure is not asked; these commands make the files:

  ` + azure.ServerCommand + ` > server.json
  ` + azure.RulesCommand + ` > rules.json
  ` + azure.VnetRulesCommand + ` > vnet-rules.json
  ` + azure.EndpointsCommand + ` > endpoints.json
  ` + azure.CardsCommand + ` > nics.json   # has the addresses of private endpoints
  ` + azure.IPv6RulesCommand + ` > rules6.json

Or from an ARM template, before anything is deployed; Bicep is compiled by

  ` + azure.TemplateCommand + ` > main.json
  ` + azure.ParametersCommand + `

Each server in a template is printed. Of its expressions those are evaluated that need nothing
deployed; where another one matters, that is an error.`,
		Example: `  sallyport import azure-sql --server server.json --firewall-rules rules.json --vnet-rules vnet-rules.json -n shop > sql.yaml
  sallyport import azure-sql --server server.json --firewall-rules rules.json --vnet-rules vnet-rules.json \
    --private-endpoints endpoints.json --private-endpoints nics.json --aks cluster.json
  sallyport import azure-sql --template main.json --parameters parameters.json -n shop`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("import azure-sql takes no arguments, and got %d: files are named by flags (see sallyport import azure-sql --help)", len(args))
			}
			return in.check()
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			services, err := in.services(c)
			if err != nil {
				return err
			}
			if in.name != "" && len(services) > 1 {
				return fmt.Errorf("--name: the template has %d servers, which cannot all have one name", len(services))
			}
			var list []report.Imported
			for _, s := range services {
				name := s.Name
				if in.name != "" {
					name = in.name
				}
				list = append(list, report.Imported{By: "sallyport import azure-sql", Files: in.read, Namespace: in.namespace, Name: name, Spec: s.Spec, Notes: s.Notes})
			}
			return report.ExternalServices(c.OutOrStdout(), list)
		},
	}
	f := c.Flags()
	f.StringVar(&in.server, "server", "", "`FILE` with the server, from az sql server show --expand-ad-admin; - is standard input, for this or one other file")
	f.StringArrayVar(&in.firewallRules, "firewall-rules", nil, "`FILE` with its firewall rules, from az sql server firewall-rule list; repeatable, for those of IPv6")
	f.StringVar(&in.vnetRules, "vnet-rules", "", "`FILE` with its virtual network rules, from az sql server vnet-rule list")
	f.StringArrayVar(&in.privateEndpoints, "private-endpoints", nil, "`FILE` with private endpoints or network interfaces, from az network private-endpoint list or az network nic list; repeatable")
	f.StringVar(&in.template, "template", "", "`FILE` with an ARM template, instead of the output of az")
	f.StringVar(&in.parameters, "parameters", "", "`FILE` with the template's parameters")
	f.StringVar(&in.aks, "aks", "", "`FILE` with the output of az aks show -o json: says as what its pods appear to the server")
	f.StringVarP(&in.namespace, "namespace", "n", "", "`NAMESPACE` whose pods use the server (default all)")
	f.StringVar(&in.name, "name", "", "`NAME` of the object (default the server's)")
	_ = c.RegisterFlagCompletionFunc("namespace", cobra.NoFileCompletions) // fails only for a flag that is not there
	_ = c.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
	return c
}

// check refuses flags that do not go together. A list that is left out is not an empty one: it may hold the rule that
// lets everybody in.
func (in *azureSQL) check() error {
	if in.namespace != "" && len(validation.IsDNS1123Label(in.namespace)) > 0 {
		return notANamespace(in.namespace)
	}
	if in.name != "" && len(validation.IsDNS1123Subdomain(in.name)) > 0 {
		return fmt.Errorf("--name: %q cannot be an object's name (up to 253 of a-z, 0-9, - and .)", in.name)
	}
	az := in.server != "" || in.vnetRules != "" || len(in.firewallRules)+len(in.privateEndpoints) > 0
	switch {
	case !az && in.template == "" && in.parameters != "":
		return errors.New("--parameters goes with --template")
	case !az && in.template == "":
		return errors.New("nothing to import: give --server, --firewall-rules and --vnet-rules, or --template (see sallyport import azure-sql --help)")
	case az && (in.template != "" || in.parameters != ""):
		return errors.New("a template and the output of az do not go together: the one is what is planned, the other what is deployed")
	case in.template != "":
		return nil
	}
	for _, need := range []struct {
		flag, command string
		missing       bool
	}{
		{"--server", azure.ServerCommand, in.server == ""},
		{"--firewall-rules", azure.RulesCommand, len(in.firewallRules) == 0},
		{"--vnet-rules", azure.VnetRulesCommand, in.vnetRules == ""},
	} {
		if need.missing {
			return fmt.Errorf("%s is missing, and without it is not known who is let in (hint: %s > FILE)", need.flag, need.command)
		}
	}
	return nil
}

// services reads the files and turns them into facts.
func (in *azureSQL) services(c *cobra.Command) ([]*azure.Service, error) {
	out, err := in.fromAzure(c)
	if err != nil || in.aks == "" {
		return out, err
	}
	file, err := in.open(c, "--aks", in.aks)
	if err != nil {
		return nil, err
	}
	a, err := parseAKS(in.aks, file.Data)
	if err != nil {
		return nil, err
	}
	for _, s := range out {
		if err := s.AddSources(a); err != nil {
			return nil, fmt.Errorf("--aks: %s: %w", in.aks, err)
		}
	}
	return out, nil
}

func (in *azureSQL) fromAzure(c *cobra.Command) ([]*azure.Service, error) {
	if in.template != "" {
		return in.fromTemplate(c)
	}
	var az azure.Az
	var err error
	if az.Server, err = in.open(c, "--server", in.server); err != nil {
		return nil, err
	}
	if az.FirewallRules, err = in.openAll(c, "--firewall-rules", in.firewallRules); err != nil {
		return nil, err
	}
	if az.VnetRules, err = in.open(c, "--vnet-rules", in.vnetRules); err != nil {
		return nil, err
	}
	if az.PrivateEndpoints, err = in.openAll(c, "--private-endpoints", in.privateEndpoints); err != nil {
		return nil, err
	}
	s, err := azure.FromAz(&az)
	return []*azure.Service{s}, err
}

func (in *azureSQL) fromTemplate(c *cobra.Command) ([]*azure.Service, error) {
	template, err := in.open(c, "--template", in.template)
	if err != nil {
		return nil, err
	}
	if in.parameters == "" {
		return azure.FromTemplate(&template, nil)
	}
	parameters, err := in.open(c, "--parameters", in.parameters)
	if err != nil {
		return nil, err
	}
	return azure.FromTemplate(&template, &parameters)
}

func (in *azureSQL) openAll(c *cobra.Command, flag string, paths []string) ([]azure.File, error) {
	out := make([]azure.File, len(paths))
	for i, path := range paths {
		var err error
		if out[i], err = in.open(c, flag, path); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// open reads a file that a flag names, or standard input, which there is only once.
func (in *azureSQL) open(c *cobra.Command, flag, path string) (azure.File, error) {
	f := azure.File{Flag: flag, Path: path}
	var err error
	switch {
	case path != "-":
		f.Data, err = readNamed(flag, path)
	case in.stdin != "":
		err = fmt.Errorf("%s: standard input is taken by %s already", flag, in.stdin)
	default:
		in.stdin, f.Path = flag, "standard input"
		f.Data, err = io.ReadAll(io.LimitReader(c.InOrStdin(), platform.MaxAzure+1))
	}
	if err == nil && !slices.Contains(in.read, f.Path) {
		in.read = append(in.read, f.Path)
	}
	return f, err
}
