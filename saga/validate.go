package saga

import (
	"fmt"
	"reflect"
	"strings"
)

// maxName bounds a node's and a definition's name, in bytes.
const maxName = 64

// checker walks a tree in the order of execution and collects every fault.
type checker struct {
	faults  []error
	pivot   string // path of the pivot that was passed
	inItems bool
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
	c.sequence(s.root)
}

func (c *checker) sequence(n *node) {
	for _, flaw := range n.flaws {
		c.faultf(n.path, "%s", flaw)
	}
	if len(n.kids) == 0 {
		c.faultf(n.path, "has no nodes: add a step")
	}
	names := map[string]bool{}
	for _, kid := range n.kids {
		if fault := nameFault(kid.name); fault != "" {
			c.faultf(kid.path, "the name %q %s", kid.name, fault)
		}
		if names[kid.name] {
			c.faultf(kid.path, "two nodes have this name: rename one")
		}
		names[kid.name] = true
		switch kid.kind {
		case KindStep:
			c.step(kid)
		case KindSequence:
			c.sequence(kid)
		case KindForEach:
			c.forEach(kid)
		}
	}
}

func (c *checker) forEach(n *node) {
	for _, flaw := range n.flaws {
		c.faultf(n.path, "%s", flaw)
	}
	if n.each.atMost < 0 {
		c.faultf(n.path, "AtMost(%d) is negative: use 0 for no bound", n.each.atMost)
	}
	outer := c.inItems
	c.inItems = true
	c.scope(n.each.inner)
	c.inItems = outer
}

func (c *checker) step(n *node) {
	s := n.step
	for _, flaw := range n.flaws {
		c.faultf(n.path, "%s", flaw)
	}
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
		case c.inItems:
			c.faultf(n.path, "is a pivot within a fan-out: a saga has one point of no return, put it outside")
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
