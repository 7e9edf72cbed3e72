package kernel

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// What golang.org/x/sys does not name.
const (
	flagOwner   = 2 // NFT_TABLE_F_OWNER, from Linux 5.12 on: nobody but the socket that made the table changes it
	flagPersist = 4 // NFT_TABLE_F_PERSIST, from Linux 6.9 on: it outlives that socket, and another one may take it over
)

// Table is our table in one network namespace, and what is known of it. It is not for use by several goroutines at once.
type Table struct {
	dial     func() (conn, error)
	c        conn // nil after it failed
	features Features

	wanted     *program.Program // what Apply brought it to; nil before it did, and after it failed
	now        *program.Program // what the kernel has; nil where that is not known
	capacity   map[string]int   // of its sets
	generation uint32           // at which it was seen to have it
	owner      uint32           // the port of our socket, where the table has an owner
}

// Open makes a table ready for the network namespace that a file descriptor names, or for the one of the calling thread where
// it is 0. Nothing is read or written yet, and a table that is there stays in force.
func Open(namespace int, f Features) (*Table, error) {
	return open(func() (conn, error) { return dial(namespace) }, f)
}

func open(dial func() (conn, error), f Features) (*Table, error) {
	t := &Table{dial: dial, features: f}
	return t, t.connect()
}

func (t *Table) connect() (err error) {
	if t.c == nil {
		t.now = nil // whoever owned the table does not any more
		t.c, err = t.dial()
	}
	return err
}

// Close lets go of the table, which stays in force as it is.
func (t *Table) Close() error {
	t.wanted = nil
	return t.hangUp()
}

func (t *Table) hangUp() error {
	if t.c == nil {
		return nil
	}
	err := t.c.Close()
	t.c, t.now = nil, nil
	return err
}

// forget drops the socket after something went wrong in a way that leaves open what the kernel did, or will still say.
func (t *Table) forget() {
	_ = t.hangUp() // it is of no use; that it cannot be closed would change nothing
}

// Change is what Apply did.
type Change struct {
	Everything bool   // the whole table was written, not a difference
	Words      string // counts, for logs; empty where nothing had to change
	Instead    error  // why a difference was not enough, where one was tried
}

// Apply brings the kernel from what it has to a program, as a whole: no packet meets half of it, and when Apply returns an
// error the table is what it was before, or, after errors that say so, nobody knows and the next Apply looks. What was written is
// read back. A table that is there already is read first, so that only what differs is written. The program may be changed
// afterwards only for Change; parts that two programs share are not compared.
func (t *Table) Apply(next *program.Program) (Change, error) {
	if err := next.Check(); err != nil {
		return Change{}, fmt.Errorf("the table contradicts itself, so it is not loaded: %w", err)
	}
	t.wanted = nil
	return t.bring(next, nil)
}

// Change is Apply where what has changed since is known, as a program.Live says: next may be what was applied before, changed in its
// place.
func (t *Table) Change(next *program.Program, d *program.Delta) (Change, error) {
	if t.now == nil {
		return t.Apply(next)
	}
	c, err := t.step(next, d)
	if err == nil {
		return c, nil
	}
	t.doubt(err)
	t.wanted = nil
	return t.bring(next, err)
}

// bring leads the kernel to a program: by a difference to what it has, if need be to what is read of it, or else by writing everything.
// instead is why a difference failed before.
func (t *Table) bring(next *program.Program, instead error) (Change, error) {
	if err := t.connect(); err != nil {
		return Change{}, err
	}
	for range 2 {
		if t.now == nil {
			if err := t.adopt(); err != nil {
				t.doubt(err)
				return Change{}, err
			}
		}
		if t.now == nil || !sameHooks(t.now, next) {
			break
		}
		c, err := t.step(next, program.Compare(t.now, next))
		if err == nil {
			c.Instead = instead
			return c, nil
		}
		instead = err // somebody else changed the table, or the kernel lost something
		if t.doubt(err); t.connect() != nil {
			break
		}
	}
	c, err := t.replace(next)
	if err != nil {
		t.doubt(err)
	}
	c.Instead = instead
	return c, err
}

// adopt reads the table that is there, and takes it over; t.now stays nil where there is none, or one that no difference can make ours.
func (t *Table) adopt() error {
	s, err := readState(t.c)
	switch {
	case err != nil:
		return fmt.Errorf("look for a table that is there: %w", err)
	case !s.there || s.owner != 0 && s.owner != t.owner || (s.flags^t.flags())&^flagOwner != 0:
		return nil
	}
	if t.features.Owner && s.owner == 0 {
		w := start()
		w.number(unix.NFTA_TABLE_FLAGS, t.flags())
		if err := commit(t.c, []netlink.Message{message(unix.NFT_MSG_NEWTABLE, 0, w)}); err != nil {
			return fmt.Errorf("take over the table that is there: %w", err)
		}
		if s, err = readState(t.c); err == nil && (s.owner == 0 || s.flags != t.flags()) {
			err = lost([]string{"the table has no owner"})
		}
		if err != nil {
			return err
		}
	}
	t.owner = s.owner
	now, err := generation(t.c)
	if err != nil {
		return err
	}
	got, err := readContents(t.c, func(*object) bool { return true })
	if err != nil || len(got.foreign) > 0 {
		return err
	}
	t.now, t.capacity, t.generation = got.program(), map[string]int{}, now
	for name, o := range got.sets {
		t.capacity[name] = o.room
	}
	return nil
}

// sameHooks tells whether each chain of both programs is called from where it was, which no difference can change.
func sameHooks(old, next *program.Program) bool {
	hooks := map[string]program.Hook{}
	for i := range old.Chains {
		hooks[old.Chains[i].Name] = old.Chains[i].Hook
	}
	return !slices.ContainsFunc(next.Chains, func(c program.Chain) bool {
		was, ok := hooks[c.Name]
		return ok && was != c.Hook
	})
}

// doubt notes that it is not known what the kernel has; nor is the socket of use, unless the kernel just refused.
func (t *Table) doubt(err error) {
	t.now = nil
	if !errors.Is(err, errRefused) && !errors.Is(err, errTooLarge) && !errors.Is(err, errLost) {
		t.forget()
	}
}

// errOther says that a difference would have to make another set of one that is there.
var errOther = fmt.Errorf("%w: a set has outgrown its room, or would be of another type", errRefused)

// step commits a difference.
func (t *Table) step(next *program.Program, d *program.Delta) (Change, error) {
	if d.Empty() {
		t.now, t.wanted = next, next
		return Change{}, nil
	}
	capacity := maps.Clone(t.capacity)
	p, ok := planOf(d, next, capacity)
	if !ok {
		return Change{}, errOther
	}
	list, _, err := p.messages(capacity)
	if err != nil {
		return Change{}, err
	}
	seen := t.generation
	for _, list := range append([][]netlink.Message{list}, p.drops()...) {
		if len(list) == 0 {
			continue // there was nothing but to remove
		}
		if seen, err = t.commit(list, seen); err != nil {
			return Change{}, fmt.Errorf("change the table: %w", err)
		}
		t.generation++ // ours; if somebody else committed too it is another one, and Heal looks
	}
	if err := t.readBack(p); err != nil {
		return Change{}, err
	}
	t.now, t.wanted, t.capacity = next, next, capacity
	return Change{Words: d.String()}, nil
}

// commit sends a batch, and sees that something has changed by it since a generation.
func (t *Table) commit(list []netlink.Message, before uint32) (now uint32, err error) {
	if err := commit(t.c, list); err != nil {
		return 0, err
	}
	now, err = generation(t.c)
	if err == nil && now == before {
		err = lost([]string{"nothing has changed at all"})
	}
	return now, err
}

// replace writes the whole table in the place of whatever is there. A packet that is on its way through the old one just then may find
// its sets empty; so this is for when there is nothing to begin from.
func (t *Table) replace(next *program.Program) (Change, error) {
	if err := t.connect(); err != nil {
		return Change{}, err
	}
	before, err := readState(t.c)
	if err != nil {
		return Change{}, fmt.Errorf("look for a table that is there: %w", err)
	}
	if before.owner != 0 && before.owner != t.owner {
		return Change{}, fmt.Errorf("%w: another process owns the table %s, by its netlink port %d: is another agent running here?", errRefused, program.TableName, before.owner)
	}
	capacity := map[string]int{}
	d := program.Compare(nil, next)
	p, _ := planOf(d, next, capacity)
	list, inert, err := p.messages(capacity)
	if err != nil {
		return Change{}, err
	}
	head := t.head(before.there)
	err = commit(t.c, append(head, list...))
	if errors.Is(err, errTooLarge) && !before.there {
		err = t.commitInParts(head, list, inert)
	}
	if err != nil {
		return Change{}, fmt.Errorf("write the table: %w", err)
	}
	if err := t.settle(next, capacity); err != nil {
		return Change{}, err
	}
	t.wanted = next
	return Change{Everything: true, Words: d.String()}, nil
}

// head begins a batch that writes everything.
func (t *Table) head(there bool) []netlink.Message {
	var out []netlink.Message
	if there {
		out = append(out, message(unix.NFT_MSG_DELTABLE, 0, start()))
	}
	w := start()
	w.number(unix.NFTA_TABLE_FLAGS, t.flags())
	return append(out, message(unix.NFT_MSG_NEWTABLE, netlink.Create|netlink.Excl, w))
}

func (t *Table) flags() uint32 {
	if t.features.Owner {
		return flagOwner | flagPersist
	}
	return 0
}

// settle reads a table back that was written as a whole, and notes it.
func (t *Table) settle(next *program.Program, capacity map[string]int) error {
	generation, err := generation(t.c)
	if err != nil {
		return err
	}
	s, err := readState(t.c)
	if err != nil {
		return err
	}
	t.now, t.capacity, t.generation, t.owner = next, capacity, generation, s.owner
	if found, err := t.compareOwner(); err != nil || len(found) > 0 {
		return errors.Join(err, lost(found))
	}
	found, err := t.compare(false)
	return errors.Join(err, lost(found))
}

// partSize is how many bytes a part may have where the socket's buffer is small; Linux gives at least some 200,000.
const partSize = 150_000

// commitInParts writes a table that is not there yet in several batches, of which the last one alone, with the chains that
// packets come by, changes anything for a packet. Nothing stays where it does not come to that.
func (t *Table) commitInParts(head, list []netlink.Message, inert int) error {
	parts := append(head, list[:inert]...)
	for len(parts) > 0 {
		n, bytes := 0, 0
		for n < len(parts) && (n == 0 || bytes+len(parts[n].Data) < partSize) {
			bytes += len(parts[n].Data) + unix.NLMSG_HDRLEN
			n++
		}
		if err := commit(t.c, parts[:n]); err != nil {
			return errors.Join(err, t.abandon())
		}
		parts = parts[n:]
	}
	if err := commit(t.c, list[inert:]); err != nil {
		return errors.Join(err, t.abandon())
	}
	return nil
}

// abandon removes a table that was begun.
func (t *Table) abandon() error {
	err := commit(t.c, []netlink.Message{message(unix.NFT_MSG_DELTABLE, 0, start())})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// errLost says that the kernel has not got what it took.
var errLost = errors.New("the kernel has not got what was written")

func lost(found []string) error {
	if len(found) == 0 {
		return nil
	}
	more := ""
	if n := len(found); n > 3 {
		found, more = found[:3], fmt.Sprintf(" and %d more", n-3)
	}
	return fmt.Errorf("%w: %q%s", errLost, found, more)
}

// samples is how many elements are looked up after a change, and of a whole table.
const samples = 16

// readBack looks at what a difference wrote: the rules of its chains, and some of its elements.
func (t *Table) readBack(p *plan) error {
	got := contents{chains: map[string]*chain{}}
	for _, c := range p.rules[:min(len(p.rules), samples)] {
		got.chains[c.Name] = &chain{}
		if err := got.readRules(t.c, c.Name); err != nil {
			return err
		}
		if !slices.Equal(got.chains[c.Name].rules, c.Rules) || len(got.foreign) > 0 {
			return lost([]string{"the rules of chain " + c.Name})
		}
	}
	return errors.Join(t.probeEnds(p.come, true), t.probeEnds(p.gone, false))
}

// probeEnds looks up the first and the last element of some lists.
func (t *Table) probeEnds(lists []elements, there bool) error {
	for _, e := range lists[:min(len(lists), samples)] {
		for _, i := range []int{0, len(e.list) - 1} {
			if !there && e.set.covers(&e.list[i]) {
				continue // the kernel tells of the range that is there now
			}
			if err := t.probe(e.set, &e.list[i], there); err != nil {
				return err
			}
		}
	}
	return nil
}

// probe looks an element up in the kernel. One that is to be gone may be there with another verdict: it was changed.
func (t *Table) probe(o *object, e *program.Element, there bool) error {
	got, found, err := lookUp(t.c, o, e)
	if err != nil {
		return err
	}
	if same := found && got == e.Verdict; same != there {
		return lost([]string{fmt.Sprintf("an element of %s: %+v is %+v, %v", o.name, *e, got, found)})
	}
	return nil
}

// lookUp asks the kernel for the verdict of an element.
func lookUp(c conn, o *object, e *program.Element) (v program.Verdict, found bool, err error) {
	w := start()
	w.text(unix.NFTA_SET_ELEM_LIST_SET, o.name)
	at := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	low, high := keyOf(o.key, e)
	in := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, low)
	if o.flags()&setConcat != 0 {
		w.value(elementEnd, high)
	}
	w.close(in)
	w.close(at)
	err = ask(c, message(unix.NFT_MSG_GETSETELEM, 0, w), func() { found = false }, func(b []byte) error {
		return eachElement(b, func(r rawElement) error {
			v, found = r.verdict, r.strange == nil
			return nil
		})
	})
	if errors.Is(err, unix.ENOENT) {
		return program.Verdict{}, false, nil
	}
	return v, found, err
}

// Heal looks whether somebody else committed anything in the network namespace since the table was last seen as it should be,
// and if so at the table; it puts back what differs. It gives what it found, in words. With everything set all elements are read
// and compared, which takes a second for a large table, and whether or not anybody committed anything. After an error the next Heal
// begins with reading everything; but after one of Apply it does nothing, for the next Apply does.
func (t *Table) Heal(everything bool) (found []string, err error) {
	switch {
	case t.wanted == nil:
		return nil, nil
	case t.now == nil:
		found = []string{"it is not known what the kernel has, since the last look failed"}
	default:
		if found, err = t.look(everything); err != nil && !errors.Is(err, errInterrupted) {
			t.doubt(err)
		}
	}
	if len(found) > 0 {
		t.now = nil
		_, err = t.bring(t.wanted, nil)
	}
	return found, err
}

func (t *Table) look(everything bool) ([]string, error) {
	now, err := generation(t.c)
	if err != nil || now == t.generation && !everything {
		return nil, err
	}
	found, err := t.compareOwner()
	if err == nil && len(found) == 0 && (everything || t.owner == 0) { // what is ours alone nobody else can have changed
		found, err = t.compare(everything)
	}
	if err == nil && len(found) == 0 {
		t.generation = now
	}
	return found, err
}

// compareOwner says what is wrong with the table as such.
func (t *Table) compareOwner() ([]string, error) {
	s, err := readState(t.c)
	switch {
	case err != nil:
		return nil, err
	case !s.there:
		return []string{"the table is gone"}, nil
	case s.owner != t.owner || s.flags != t.flags():
		return []string{fmt.Sprintf("the table has the owner %d and the flags %#x, not %d and %#x", s.owner, s.flags, t.owner, t.flags())}, nil
	}
	return nil, nil
}

// compare lists, in words, where the kernel's table differs from what it should be: its chains, rules and sets, and some or all
// of the elements.
func (t *Table) compare(everything bool) ([]string, error) {
	got, err := readContents(t.c, func(o *object) bool { return everything || o.interval })
	if err != nil {
		return nil, err
	}
	out := append(got.foreign, t.differences(got, everything)...)
	if !everything && len(out) == 0 {
		err = t.sample(&out)
	}
	return out, err
}

// differences compares what was read with what should be there.
func (t *Table) differences(got *contents, everything bool) (out []string) {
	want := map[string]*object{}
	for _, o := range objects(t.now) {
		want[o.name] = &o
		g := got.sets[o.name]
		switch {
		case g == nil:
			out = append(out, "set "+o.name+" is gone")
		case g.key != o.key || g.verdicts != o.verdicts || g.interval != o.interval:
			out = append(out, "set "+o.name+" has another type")
		case (everything || o.interval) && !slices.Equal(g.elements, o.elements):
			out = append(out, "set "+o.name+" has other elements")
		case g.counted && !o.interval && g.count != len(o.elements):
			out = append(out, fmt.Sprintf("set %s has %d elements and not %d", o.name, g.count, len(o.elements)))
		}
	}
	for name := range got.sets {
		if want[name] == nil {
			out = append(out, "set "+name+" is not ours")
		}
	}
	chains := map[string]bool{}
	for i := range t.now.Chains {
		c := &t.now.Chains[i]
		chains[c.Name] = true
		g := got.chains[c.Name]
		switch {
		case g == nil:
			out = append(out, "chain "+c.Name+" is gone")
		case g.hooked != (c.Hook != 0) || g.hooked && g.hook != hookNumbers[c.Hook]:
			out = append(out, "chain "+c.Name+" is not where it was")
		case !slices.Equal(g.rules, c.Rules):
			out = append(out, "chain "+c.Name+" has other rules")
		}
	}
	for name := range got.chains {
		if !chains[name] {
			out = append(out, "chain "+name+" is not ours")
		}
	}
	slices.Sort(out)
	return out
}

// sample looks some elements up, at random.
func (t *Table) sample(out *[]string) error {
	list := slices.DeleteFunc(objects(t.now), func(o object) bool { return len(o.elements) == 0 })
	for range samples {
		if len(list) == 0 {
			return nil
		}
		o := &list[rand.IntN(len(list))]
		err := t.probe(o, &o.elements[rand.IntN(len(o.elements))], true)
		switch {
		case errors.Is(err, errLost):
			*out = append(*out, err.Error())
		case err != nil:
			return err
		}
	}
	return nil
}

// There tells whether there is a table.
func There(namespace int) (there bool, err error) {
	c, err := dial(namespace)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, err := readState(c)
	return s.there, err
}

// Read gives everything that the kernel has in the table now, as a program, and in words what is none of its shapes. Both are
// nil where there is no table.
func Read(namespace int) (p *program.Program, foreign []string, err error) {
	c, err := dial(namespace)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, err := readState(c)
	if err != nil || !s.there {
		return nil, nil, err
	}
	got, err := readContents(c, func(*object) bool { return true })
	if err != nil {
		return nil, nil, err
	}
	return got.program(), got.foreign, nil
}

// Uninstall removes the table, and tells whether there was one. One that a running agent owns is left alone, with an error.
func Uninstall(namespace int) (removed bool, err error) {
	c, err := dial(namespace)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, err := readState(c)
	if err != nil || !s.there {
		return false, err
	}
	if s.owner != 0 {
		return false, fmt.Errorf("a running agent owns the table %s, by its netlink port %d (most often its process id): stop it first", program.TableName, s.owner)
	}
	if err := commit(c, []netlink.Message{message(unix.NFT_MSG_DELTABLE, 0, start())}); err != nil {
		return false, fmt.Errorf("remove the table %s: %w", program.TableName, err)
	}
	return true, nil
}
