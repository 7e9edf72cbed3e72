package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/node"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// Config says what an agent works on.
type Config struct {
	Node      string   // its name in the cluster
	Uplinks   []string // interfaces that are uplinks beside those that are found
	Namespace int      // a file descriptor of the network namespace, or 0 for that of the calling thread
	Options   policy.Options
	Features  kernel.Features
	// Updates are what a source says: nothing is written before the first Snapshot.
	Updates <-chan cluster.Update
	Log     *slog.Logger
	// Applied, where it is set, is called by Run whenever the kernel was brought to a Snapshot.
	Applied func(*cluster.Snapshot)
}

// How often the agent looks at what nobody tells it.
const (
	// lookEvery bounds how long what somebody else did to the table lasts, on a kernel that lets them.
	lookEvery = 250 * time.Millisecond
	// compareEvery is how often all elements are read and compared.
	compareEvery = 10 * time.Minute
	// After an error the kernel is tried again, each time after twice as long.
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// agent is what Run knows.
type agent struct {
	Config
	table   *kernel.Table
	cuts    *conntrack.Socket
	watch   func() (<-chan struct{}, error)
	changes <-chan struct{} // of the node; nil where the watch has ended

	said   *cluster.Snapshot // the last one that could be read
	snap   *cluster.Snapshot // the one that live follows
	live   *program.Live
	whole  bool // the next write is not a difference to what live gave last
	facts  *node.Facts
	unseen bool // the kernel knows nothing of connections that are older than the table
	pods   map[netip.Addr]string
	gone   map[netip.Addr]bool    // addresses that a pod here had and has not any more: its connections have to go
	ended  []conntrack.Connection // those that were cut for that, until they are forgotten
	doubt  bool                   // connections have to be looked at,
	now    bool                   // at once
	next   *time.Timer            // when that is to be, otherwise
	cutAt  time.Time              // when they were looked at last,
	took   time.Duration          // and how long that took
	retry  *time.Timer
	pause  time.Duration   // before the next attempt
	hold   map[string]bool // warnings that hold,
	warned map[string]bool // and those that were said before
	failed string          // what the source said last, if that was an error
}

// Run enforces until the context ends. The table stays in force then, and after every error. It fails only where it cannot begin.
func Run(ctx context.Context, c Config) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &agent{Config: c, gone: map[netip.Addr]bool{}, hold: map[string]bool{}, warned: map[string]bool{}, retry: time.NewTimer(retryMost), next: time.NewTimer(retryMost)}
	a.retry.Stop()
	a.next.Stop()
	if a.table, err = kernel.Open(c.Namespace, c.Features); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.table.Close()) }()
	if a.cuts, err = conntrack.Open(c.Namespace); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.cuts.Close()) }()
	if a.unseen, err = unseen(c.Namespace); err != nil {
		return err
	}
	a.watch = func() (<-chan struct{}, error) { return node.Watch(ctx, c.Namespace) }
	if a.changes, err = a.watch(); err != nil {
		return err
	}
	a.loop(ctx)
	return nil
}

// unseenFor is how long it counts that nobody followed connections before.
const unseenFor = 5 * time.Minute

// unseen tells whether nobody followed connections before: there is no table yet, and the kernel knows no connection.
func unseen(namespace int) (bool, error) {
	there, err := kernel.There(namespace)
	if err != nil || there {
		return false, err
	}
	known := errors.New("there is one")
	if err = conntrack.Each(namespace, func(*conntrack.Connection) error { return known }); errors.Is(err, known) {
		return false, nil
	}
	return true, err
}

func (a *agent) loop(ctx context.Context) {
	look, compare := time.NewTicker(lookEvery), time.NewTicker(compareEvery)
	known := time.NewTimer(unseenFor)
	defer known.Stop()
	defer look.Stop()
	defer compare.Stop()
	defer a.retry.Stop()
	defer a.next.Stop()
	for {
		select {
		case <-ctx.Done():
			a.Log.Info("the agent ends, the table stays in force")
			return
		case u, ok := <-a.Updates:
			if !ok { // the source has ended before us
				a.Updates = nil
				continue
			}
			a.follow(u)
		case _, ok := <-a.changes:
			if !ok {
				a.changes = nil
			}
			a.enforce()
		case <-a.retry.C:
			a.enforce()
		case <-a.next.C:
			a.now = true
			a.enforce()
		case <-known.C:
			a.unseen = false
			a.enforce()
		case <-look.C:
			a.heal(false)
		case <-compare.C:
			a.heal(true)
		}
	}
}

// follow takes what the source says. While that is an error, what it said before counts.
func (a *agent) follow(u cluster.Update) {
	if u.Err != nil {
		if a.failed != u.Err.Error() {
			a.Log.Error("the source cannot be read, and what is enforced stays in force", "error", u.Err)
		}
		a.failed = u.Err.Error()
		return
	}
	if a.failed != "" {
		a.Log.Info("the source can be read again")
		a.failed = ""
	}
	a.said = u.Snapshot
	a.bringPods(u.Snapshot)
	a.enforce()
}

// bring leads the model to a Snapshot: pods and NetworkPolicies one by one, everything else by beginning anew, and so where too much is
// kept of what is gone.
func (a *agent) bring(s *cluster.Snapshot) {
	before := a.snap
	a.snap = s
	if before == nil {
		a.begin()
		return
	}
	c := cluster.Compare(before, s)
	if c.Else || a.live.Outgrown() {
		a.begin()
		return
	}
	for _, p := range c.GonePods {
		a.live.RemovePod(p)
	}
	for _, p := range c.Pods {
		a.live.SetPod(*p)
	}
	for _, p := range c.GonePolicies {
		a.live.RemoveNetworkPolicy(p.Object.Namespace, p.Object.Name)
	}
	if len(c.Policies)+len(c.GonePolicies) > 0 {
		a.doubt, a.now = true, true // also where the table stays the same: who keeps what is established may be another matter
	}
	for _, p := range c.Policies {
		a.live.SetNetworkPolicy(*p)
	}
}

// begin compiles the Snapshot from scratch.
func (a *agent) begin() {
	a.live = program.NewLive(policy.NewLive(a.snap, a.Options), &program.Node{Name: a.Node})
	a.whole, a.doubt, a.now = true, true, true
}

// bringPods notes which addresses the pods here have, and which one is not that pod's any more. While several have one it is closed, and
// stays with the pod that had it alone.
func (a *agent) bringPods(s *cluster.Snapshot) {
	now := map[netip.Addr]string{}
	for i := range s.Pods {
		if p := &s.Pods[i]; p.NodeName == a.Node && !p.HostNetwork && !p.Template {
			for _, addr := range p.Addrs {
				if _, several := now[addr]; several {
					now[addr] = ""
					continue
				}
				now[addr] = p.Namespace + "/" + p.Name
			}
		}
	}
	for addr, name := range a.pods {
		switch has, ok := now[addr]; {
		case ok && has == "":
			now[addr] = name
		case has != name:
			a.gone[addr] = true
		}
	}
	a.pods = now
}

// enforce brings the kernel to what the source and the node say now.
func (a *agent) enforce() {
	if a.said == nil {
		return
	}
	if err := a.try(); err != nil {
		a.pause = min(max(2*a.pause, retryFirst), retryMost)
		a.Log.Error("the kernel cannot be brought to what policies say: what it has stays in force", "error", err, "again after", a.pause)
		a.retry.Reset(a.pause)
		return
	}
	a.settled()
	a.pause = 0
	a.retry.Stop()
	if a.Applied != nil {
		a.Applied(a.snap)
	}
}

// try does so. The model moves on only where nothing can fail between that and the kernel's turn: what the kernel was brought to last
// shares its memory with the model, and is what a foreign change is compared with.
func (a *agent) try() (err error) {
	if a.changes == nil {
		if a.changes, err = a.watch(); err != nil {
			return err
		}
	}
	facts, err := node.Read(a.Namespace)
	if err != nil {
		return err
	}
	a.facts = facts
	if err := a.end(); err != nil {
		return err
	}
	if a.said != a.snap {
		a.bring(a.said)
	}
	a.lookAtNode()
	return a.write()
}

// lookAtNode says what the facts of the node come to, and once what is missing.
func (a *agent) lookAtNode() {
	n, warnings := a.facts.Node(a.live.Model().Snapshot(), a.Node, a.Uplinks)
	n.Unseen = a.unseen
	a.live.SetNode(n)
	a.hold = map[string]bool{}
	for _, w := range warnings {
		a.warn(w)
	}
}

// warn says what is amiss, once as long as it is.
func (a *agent) warn(text string) {
	if a.hold[text] = true; !a.warned[text] {
		a.warned[text] = true
		a.Log.Warn(text)
	}
}

// settled says which warnings hold no more.
func (a *agent) settled() {
	for w := range a.warned {
		if !a.hold[w] {
			a.Log.Info("no more", "warning", w)
			delete(a.warned, w)
		}
	}
}

// write applies the table, and cuts the connections that it does not allow any more.
func (a *agent) write() error {
	begun := time.Now()
	p, d := a.live.Take()
	var change kernel.Change
	var err error
	if a.whole {
		change, err = a.table.Apply(p)
	} else {
		change, err = a.table.Change(p, d)
	}
	if a.whole = err != nil; err != nil {
		return err
	}
	if change.Words != "" {
		a.doubt = true
		if change.Instead != nil {
			a.Log.Warn("the change alone could not be applied, so the table was brought to it from what it had", "error", change.Instead)
		}
		a.Log.Info("applied", "what", change.Words, "whole table", change.Everything, "took", time.Since(begun).Round(time.Microsecond))
	}
	for _, note := range p.Notes {
		a.warn(note)
	}
	if err := a.forget(); err != nil {
		return err
	}
	return a.settle()
}

// cutPause is the least time between two looks at all connections for the sake of pods alone. It is more where there are so many
// that looking takes long; what policies change is done at once.
const cutPause = 300 * time.Millisecond

// settle looks at connections if that has to be, now or in a moment.
func (a *agent) settle() error {
	if !a.doubt {
		return nil
	}
	if wait := time.Until(a.cutAt.Add(max(cutPause, 2*a.took))); wait > 0 && !a.now {
		a.next.Reset(wait)
		return nil
	}
	a.next.Stop()
	if err := a.cut(); err != nil {
		return err
	}
	a.doubt, a.now = false, false
	return nil
}

// heal undoes what others did to the table. Connections that began while it was not there, or was another, were decided by nobody.
func (a *agent) heal(everything bool) {
	found, err := a.table.Heal(everything)
	for _, what := range found {
		a.Log.Warn("somebody else changed the table", "found", what)
	}
	switch {
	case err != nil:
		a.Log.Error("look at the table", "error", err)
		a.whole = true
	case len(found) > 0:
		a.Log.Info("the table is what it was again")
	}
	if len(found) > 0 || everything {
		a.doubt, a.now = true, true
	}
	if len(found) > 0 || everything || err != nil {
		a.enforce()
	}
}
