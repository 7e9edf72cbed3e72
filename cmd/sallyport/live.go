package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"sallyport.dev/sallyport/internal/source/kube"
	"sallyport.dev/sallyport/internal/source/objects"
)

// live holds kubectl's own flags. A cluster is read where one of them is given, or where kubectl
// calls the program and no other input is named.
type live struct {
	kubeconfig string
	overrides  clientcmd.ConfigOverrides
	names      []string // of the flags, as the command line has them
	all        bool     // --all-namespaces
}

// shownFlags are those in the help; the others work as in kubectl.
var shownFlags = []string{"context", "kubeconfig", "request-timeout"}

// addTo puts the flags on a verb.
func (l *live) addTo(c *cobra.Command) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags := clientcmd.RecommendedConfigOverrideFlags("")
	flags.ContextOverrideFlags.Namespace.LongName = "" // ours: it has a meaning for files too
	flags.AuthOverrideFlags.Username.LongName, flags.AuthOverrideFlags.Password.LongName = "", ""
	flags.ClusterOverrideFlags.APIServer.ShortName = "" // -s is too short for whom to believe
	clientcmd.BindOverrideFlags(&l.overrides, fs, flags)
	fs.StringVar(&l.kubeconfig, "kubeconfig", "", "")
	fs.BoolVarP(&l.all, "all-namespaces", "A", false, "read a live cluster whole, and fail where that is not allowed, rather than read only the namespace of -n (default false)")
	fs.Lookup("context").Usage = "read the live cluster of this `CONTEXT` of the kubeconfig; kubectl's other flags (--user, --server, --as, …) work as well"
	fs.Lookup("kubeconfig").Usage = "`FILE` with clusters and contexts (default as kubectl: $KUBECONFIG, ~/.kube/config)"
	fs.Lookup("request-timeout").Usage = fmt.Sprintf("`TIME` that one request may take, 0 for any (default %s)", kube.DefaultTimeout)
	fs.Lookup("request-timeout").DefValue = ""
	fs.VisitAll(func(f *pflag.Flag) {
		l.names = append(l.names, f.Name)
		f.Hidden = !slices.Contains(shownFlags, f.Name) && f.Name != "all-namespaces"
		c.Flags().AddFlag(f)
	})
}

// config gives the client's configuration as kubectl would choose it.
func (l *live) config() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = l.kubeconfig
	rules.WarnIfAllMissing = false
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &l.overrides)
}

// wanted tells whether a flag asks for a live cluster.
func (l *live) wanted(c *cobra.Command) bool {
	return slices.ContainsFunc(l.names, c.Flags().Changed)
}

// isKubectl tells whether kubectl calls the program, as `kubectl sallyport`.
func isKubectl() bool {
	return strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-sallyport")
}

// settle decides whether a live cluster is read, and which namespace names are in; other tells
// whether some other input is named.
func (in *input) settle(c *cobra.Command, other bool) error {
	in.readLive = in.live.wanted(c) || isKubectl() && !other
	if !in.readLive {
		return nil
	}
	if err := in.live.check(); err != nil || c.Flags().Changed("namespace") {
		return err
	}
	namespace, _, err := in.live.config().Namespace()
	if err != nil {
		return kubeconfigError(err)
	}
	in.namespace = namespace
	return nil
}

// check says of the two commonest mistakes what client-go says in its own words.
func (l *live) check() error {
	if _, err := clientcmd.ParseTimeout(l.overrides.Timeout); l.overrides.Timeout != "" && err != nil {
		return fmt.Errorf("--request-timeout: %q is not a time such as 30s", l.overrides.Timeout)
	}
	raw, err := l.config().RawConfig()
	if err != nil {
		return kubeconfigError(err)
	}
	if name := l.overrides.CurrentContext; name != "" && raw.Contexts[name] == nil {
		return fmt.Errorf("--context: there is no context %q in the kubeconfig (%s)", name, knownContexts(&raw))
	}
	return nil
}

func knownContexts(c *clientcmdapi.Config) string {
	const most = 8
	list := slices.Sorted(maps.Keys(c.Contexts))
	switch {
	case len(list) == 0:
		return "it has none; see --kubeconfig"
	case len(list) > most:
		return fmt.Sprintf("it has %s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return "it has " + strings.Join(list, ", ")
}

// readCluster gives a builder that holds the live cluster. It is asked once a run.
func (in *input) readCluster(c *cobra.Command) (*objects.Builder, error) {
	config, err := in.live.config().ClientConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	config.UserAgent = "sallyport/" + version
	config.WarningHandler = nil
	o := kube.Options{Config: config, Timeout: kube.DefaultTimeout, Namespace: in.namespace, All: in.live.all,
		PluginGiven: in.plugin != "" || in.aks != "", Lint: c.Name() == "lint" || c.Name() == "snapshot", Objects: in.objectOptions(),
		Progress: func(plural string, count int) { doing(c, "reading the cluster: %d %s", count, plural) }}
	if c.Flags().Changed("request-timeout") {
		o.Timeout = config.Timeout
	}
	// While the cluster is read, an interrupt lets requests end; at all other times it ends the program.
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
	defer stop()
	b := objects.NewBuilder(in.objectOptions())
	err = kube.Load(ctx, b, o)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return b, err
}

// kubeconfigError says in our words what is wrong with the choice of a cluster.
func kubeconfigError(err error) error {
	if clientcmd.IsEmptyConfig(err) {
		return errors.New("no cluster: there is no kubeconfig, or it is empty (hint: --kubeconfig, or the variable KUBECONFIG)")
	}
	return errors.New("kubeconfig: " + kube.Text(err))
}

// asKubectl gives a text that speaks of the program as people call it.
func asKubectl(text string) string {
	if !isKubectl() {
		return text
	}
	for _, before := range []string{"see ", "  ", "| "} {
		text = strings.ReplaceAll(text, before+"sallyport ", before+"kubectl sallyport ")
	}
	return text
}

// callAsKubectl makes a command's help speak of `kubectl sallyport`.
func callAsKubectl(root *cobra.Command) {
	if !isKubectl() {
		return
	}
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sallyport"}
	helpAsKubectl(root)
}

func helpAsKubectl(c *cobra.Command) {
	c.Example, c.Long = asKubectl(c.Example), asKubectl(c.Long)
	for _, verb := range c.Commands() {
		helpAsKubectl(verb)
	}
}
