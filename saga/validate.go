package saga

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// startFault is what is wrong with a [StartOn] that is not at the top.
const startFault = "has a StartOn: only a definition as a whole is started, put it at the top"

// maxName bounds a node's and a definition's name, in bytes.
const maxName = 64

// checker walks a tree in the order of execution and collects every fault.
type checker struct {
	faults []error
	pivot  string // path of the pivot that was passed
	within string // what the node lies in that no pivot may: "a fan-out", "a parallel", "an If"
}

func (c *checker) faultf(path, format string, args ...any) {
	if path == "" {
		path = "(the definition)"
	}
	c.faults = append(c.faults, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

// validate compiles the tree and returns all its faults.
func validate(name string, tree *scope) []error {
	compile(tree)
	c := &checker{}
	if fault := nameFault(name); fault != "" {
		c.faultf("", "the definition's name %q %s", name, fault)
	}
	c.scope(tree)
	starts := map[reflect.Type]bool{}
	for _, s := range tree.starts {
		if s.typ.Kind() != reflect.Struct {
			c.faultf("", "starts on %s: events are plain structs", s.typ)
		}
		if starts[s.typ] {
			c.faultf("", "starts twice on %s: keep one", s.typ)
		}
		starts[s.typ] = true
	}
	return c.faults
}

func nameFault(name string) string {
	switch {
	case name == "":
		return "is empty: give it one"
	case len(name) > maxName:
		return fmt.Sprintf("is longer than %d bytes: shorten it", maxName)
	case strings.ContainsAny(name, "/[]") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
		return "holds '/', '[', ']' or a control character: leave them out"
	default:
		return ""
	}
}

func (c *checker) scope(s *scope) {
	if k := s.typ.Kind(); k == reflect.Interface || k == reflect.Chan || k == reflect.Func {
		c.faultf(s.path, "its data type %s cannot be stored as JSON: use a struct", s.typ)
	} else if _, err := s.encode(s.newData()); err != nil {
		c.faultf(s.path, "its data type %s cannot be stored as JSON: %v", s.typ, err)
	}
	if s.path != "" && len(s.starts) > 0 {
		c.faultf(s.path, startFault)
	}
	c.group(s.root)
}

// group checks a node that consists of others.
func (c *checker) group(n *node) {
	c.flaws(n)
	if len(n.kids) == 0 && !n.gaps {
		c.faultf(n.path, "has no nodes: add a step")
	}
	names := map[string]bool{}
	for _, kid := range n.kids {
		if kid.kind == kindStart {
			c.faultf(n.path, startFault)
			continue
		}
		if fault := nameFault(kid.name); fault != "" {
			c.faultf(kid.path, "the name %q %s", kid.name, fault)
		}
		if names[kid.name] {
			c.faultf(kid.path, "two nodes have this name: rename one")
		}
		names[kid.name] = true
		c.node(kid)
	}
}

func (c *checker) node(n *node) {
	switch n.kind {
	case KindStep:
		c.step(n)
	case KindParallel:
		c.inside("a parallel", func() { c.group(n) })
		c.claims(n)
	case KindForEach:
		c.forEach(n)
	case KindIf:
		c.choice(n)
	case KindWait:
		c.wait(n)
	case KindSleep:
		c.flaws(n)
	default:
		c.group(n)
	}
}

func (c *checker) flaws(n *node) {
	for _, flaw := range n.flaws {
		c.faultf(n.path, "%s", flaw)
	}
}

// inside checks what lies in a node within which no pivot may stand.
func (c *checker) inside(what string, check func()) {
	outer := c.within
	c.within = what
	check()
	c.within = outer
}

// claims checks that no event without headers could belong to two branches of a parallel.
func (c *checker) claims(n *node) {
	by := map[reflect.Type]*node{}
	for _, branch := range n.kids {
		mine := map[reflect.Type]*node{}
		walk(branch, func(kid *node) {
			if kid.match == nil {
				return
			}
			for _, k := range kid.match.events {
				if other := by[k.typ]; other != nil {
					c.faultf(kid.path, "claims the event %s by its payload, as %s does, which is under way at the same time: use two types", k.typ, other.path)
				}
				mine[k.typ] = kid
			}
		})
		maps.Copy(by, mine)
	}
}

func (c *checker) forEach(n *node) {
	c.flaws(n)
	if n.each.atMost < 0 {
		c.faultf(n.path, "AtMost(%d) is negative: use 0 for no bound", n.each.atMost)
	}
	switch {
	case n.each.tolerate < 0:
		c.faultf(n.path, "Tolerate(%d) is negative: use 0 to tolerate no failure", n.each.tolerate)
	case n.each.tolerate > 0 && c.pivot != "":
		c.faultf(n.path, "tolerates failures but comes after the pivot %s: nothing fails there, leave it out", c.pivot)
	}
	c.inside("a fan-out", func() { c.scope(n.each.inner) })
}

func (c *checker) choice(n *node) {
	c.flaws(n)
	c.inside("an If", func() {
		c.group(n.kids[0])
		if len(n.kids[1].kids)+len(n.kids[1].flaws) > 0 {
			c.group(n.kids[1])
		}
	})
}

func (c *checker) wait(n *node) {
	c.flaws(n)
	w := n.wait
	if k := w.on.typ.Kind(); k != reflect.Struct {
		c.faultf(n.path, "waits for %s: signals are plain structs", w.on.typ)
	}
	if w.deadline < 0 {
		c.faultf(n.path, "Deadline(%s) is negative: use 0 to wait for ever", w.deadline)
	}
	if w.onDeadline != nil && w.deadline == 0 {
		c.faultf(n.path, "has an OnDeadline but no Deadline: add one")
	}
	c.matching(n)
}

// matching checks that every event that the node takes can be recognised, and no other is named.
func (c *checker) matching(n *node) {
	if n.match == nil {
		return
	}
	declared := map[reflect.Type]bool{}
	for _, h := range n.handlers() {
		declared[h.typ] = true
		if n.match.keyOf(h.typ) == nil {
			c.faultf(n.path, "its Matching has no KeyOf for the event %s: add it", h.typ)
		}
	}
	for _, k := range n.match.events {
		if k.key == nil {
			c.faultf(n.path, "its Matching has a KeyOf without a function for %s: give it one", k.typ)
		}
		if !declared[k.typ] {
			c.faultf(n.path, "its Matching has a KeyOf for %s, which is none of its events: leave it out", k.typ)
		}
	}
	if s := n.step; s != nil && s.undo != nil && s.undone == nil && !s.byFailure && !s.unacked {
		c.faultf(n.path, "is matched by payload but its undo is acknowledged by headers only: say Undone, UndoneByFailure or UndoUnacknowledged")
	}
}

func (c *checker) step(n *node) {
	s := n.step
	c.flaws(n)
	if s.do == nil {
		c.faultf(n.path, "has no Do: say which command it sends")
	}
	if s.on == nil {
		c.faultf(n.path, "has no On: say which event means success")
	}
	c.policy(n)
	c.class(n)
	c.compensation(n)
	c.events(n)
	c.matching(n)
}

func (c *checker) policy(n *node) {
	s := n.step
	if s.timeout <= 0 {
		c.faultf(n.path, "Timeout(%s) is not positive", s.timeout)
	}
	if s.attempts < 1 {
		c.faultf(n.path, "Attempts(%d) is less than 1", s.attempts)
	}
	if s.backoffBase <= 0 || s.backoffMax < s.backoffBase {
		c.faultf(n.path, "Backoff(%s, %s): want 0 < base <= limit", s.backoffBase, s.backoffMax)
	}
}

func (c *checker) class(n *node) {
	switch n.step.class {
	case Compensable:
		if c.pivot != "" {
			c.faultf(n.path, "is compensable but comes after the pivot %s: make it Retriable or move it before", c.pivot)
		}
	case Pivot:
		switch {
		case c.pivot != "":
			c.faultf(n.path, "is a second pivot after %s: keep one", c.pivot)
		case c.within != "":
			c.faultf(n.path, "is a pivot within %s: a saga has one point of no return, put it outside", c.within)
		default:
			c.pivot = n.path
		}
	case Retriable:
		if c.pivot == "" {
			c.faultf(n.path, "is retriable but comes before any pivot: it could not be undone; make it compensable or declare the pivot")
		}
	}
}

func (c *checker) compensation(n *node) {
	s := n.step
	switch {
	case s.class != Compensable && s.undo != nil:
		c.faultf(n.path, "has an Undo but is a %s step: it is never undone, leave it out", s.class)
	case s.class != Compensable && s.nothing:
		c.faultf(n.path, "says NothingToUndo but is a %s step: leave it out", s.class)
	case s.class == Compensable && s.undo == nil && !s.nothing:
		c.faultf(n.path, "is compensable but has no Undo: add one, or say NothingToUndo")
	case s.undo != nil && s.nothing:
		c.faultf(n.path, "has an Undo and says NothingToUndo: keep one")
	case s.undo != nil && s.do != nil && s.undo.typ == s.do.typ:
		c.faultf(n.path, "does and undoes with the same command type %s: use two types", s.do.typ)
	}
	if s.undo == nil && (s.undone != nil || s.byFailure || s.unacked || s.needsReply) {
		c.faultf(n.path, "says how its Undo goes but has none: add the Undo")
	}
	acks := 0
	for _, declared := range []bool{s.undone != nil, s.byFailure, s.unacked} {
		if declared {
			acks++
		}
	}
	if acks > 1 {
		c.faultf(n.path, "declares more than one of Undone, UndoneByFailure and UndoUnacknowledged: keep one")
	}
	if s.byFailure && s.onFailure == nil {
		c.faultf(n.path, "says UndoneByFailure but has no OnFailure: add it")
	}
}

func (c *checker) events(n *node) {
	s := n.step
	named := map[reflect.Type]string{}
	for _, declared := range []struct {
		part string
		h    *handler
	}{{"On", s.on}, {"OnFailure", s.onFailure}, {"Undone", s.undone}} {
		if declared.h == nil {
			continue
		}
		t := declared.h.typ
		if t.Kind() != reflect.Struct {
			c.faultf(n.path, "%s takes %s: events are plain structs", declared.part, t)
		}
		if other, taken := named[t]; taken {
			c.faultf(n.path, "%s and %s both claim the event %s: use two types", other, declared.part, t)
		}
		named[t] = declared.part
	}
	for _, cmd := range []*command{s.do, s.undo} {
		if cmd != nil && cmd.typ.Kind() != reflect.Struct {
			c.faultf(n.path, "sends %s: commands are plain structs", cmd.typ)
		}
	}
}
