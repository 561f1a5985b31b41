package picture

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// Mermaid draws the definition.
func Mermaid(def saga.Any) string { return Flowchart(def.Describe()) }

// Flowchart is [Mermaid] for a description, such as one that was kept as a file.
func Flowchart(d saga.Description) string { return draw(d, nil) }

func draw(d saga.Description, in *instance) string {
	c := &chart{instance: in, indent: 1}
	begin := c.node("([", label(c.title(d)...), "])", c.instance.class())
	ends := c.flow(d.Nodes, []end{{id: begin}})
	done := styleControl
	if in != nil {
		done = in.end()
	}
	c.join(ends, c.node("([", label("completed"), "])", done))
	return c.text()
}

// chart is a flowchart in the making. Arrows follow all nodes: one that stood in a frame would draw its ends into it.
type chart struct {
	nodes, arrows strings.Builder
	indent        int
	count         int
	styled        [styles][]string // ids by style
	instance      *instance        // nil for a definition
	aside         aside
}

// aside says that the nodes that are drawn have no state of their own.
type aside int

const (
	live    aside = iota
	pattern       // of each item of a fan-out
	untaken       // on the way that an If did not take
)

// end is where the flow goes on from, and what the arrow from there says.
type end struct{ id, says string }

// title is the text of the first node.
func (c *chart) title(d saga.Description) []string {
	lines := []string{d.Name}
	if c.instance != nil {
		return append(lines, c.instance.title()...)
	}
	if len(d.StartsOn) > 0 {
		lines = append(lines, "starts on "+strings.Join(d.StartsOn, ", "))
	}
	return lines
}

func (c *chart) line(format string, args ...any) {
	c.nodes.WriteString(strings.Repeat("    ", c.indent))
	fmt.Fprintf(&c.nodes, format+"\n", args...)
}

func (c *chart) id() string {
	c.count++
	return "n" + strconv.Itoa(c.count-1)
}

// node adds a node and returns its id; left and right make its shape.
func (c *chart) node(left, text, right string, s style) string {
	id := c.id()
	c.line("%s%s%s%s", id, left, text, right)
	c.style(id, s)
	return id
}

func (c *chart) style(id string, s style) { c.styled[s] = append(c.styled[s], id) }

func (c *chart) arrow(from end, to string) {
	if from.says == "" {
		fmt.Fprintf(&c.arrows, "    %s --> %s\n", from.id, to)
		return
	}
	fmt.Fprintf(&c.arrows, "    %s -->|%s| %s\n", from.id, label(from.says), to)
}

func (c *chart) join(from []end, to string) {
	for _, e := range from {
		c.arrow(e, to)
	}
}

// frame draws a frame around what inside draws.
func (c *chart) frame(text string, s style, inside func()) string {
	id := c.id()
	c.line("subgraph %s[%s]", id, text)
	c.indent++
	inside()
	c.indent--
	c.line("end")
	c.style(id, s)
	return id
}

// flow draws the nodes one after the other and returns where the flow goes on from.
func (c *chart) flow(nodes []saga.NodeDescription, from []end) []end {
	for _, n := range nodes {
		from = c.draw(n, from)
	}
	return from
}

func (c *chart) draw(n saga.NodeDescription, from []end) []end {
	switch n.Kind {
	case saga.KindStep:
		return c.step(n, from)
	case saga.KindParallel:
		return c.parallel(n, from)
	case saga.KindIf:
		return c.choice(n, from)
	case saga.KindForEach:
		return c.forEach(n, from)
	case saga.KindWait:
		s, state := c.state(n, styleControl)
		return c.single(from, c.node("[/", label(n.Name, waitsFor(n), state), "/]", s))
	case saga.KindSleep:
		s, state := c.state(n, styleControl)
		return c.single(from, c.node("(", label(n.Name, "sleeps", state), ")", s))
	default:
		id := c.frame(label(n.Name), styleFrame, func() { c.flow(n.Nodes, nil) })
		return c.single(from, id)
	}
}

// single joins what comes before to a node, from which alone the flow goes on.
func (c *chart) single(from []end, id string) []end {
	c.join(from, id)
	return []end{{id: id}}
}

func waitsFor(n saga.NodeDescription) string {
	text := "waits for " + n.Signal
	switch {
	case n.Deadline == 0:
		return text
	case n.GoesOn:
		return text + ", goes on after " + short(n.Deadline)
	default:
		return text + ", at most " + short(n.Deadline)
	}
}

// short is the duration without units that are zero: "1h" for "1h0m0s".
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (c *chart) step(n saga.NodeDescription, from []end) []end {
	left, right, s, mark := "[", "]", styleStep, ""
	switch n.Class {
	case saga.Pivot:
		left, right, s, mark = "{{", "}}", stylePivot, "pivot"
	case saga.Retriable:
		left, right, s, mark = "[[", "]]", styleRetriable, "retriable"
	default:
	}
	by := ""
	if n.Service != "" {
		by = "by " + n.Service
	}
	s, state := c.state(n, s)
	id := c.node(left, label(n.Name, n.Command, by, mark, state), right, s)
	if n.Undo != "" {
		unacknowledged := ""
		if n.Acknowledged == saga.ByNothing {
			unacknowledged = "not acknowledged"
		}
		undo := c.node("(", label(n.Undo, unacknowledged), ")", c.undo(n))
		fmt.Fprintf(&c.arrows, "    %s -.->|\"undo\"| %s\n", id, undo)
	}
	return c.single(from, id)
}

func (c *chart) parallel(n saga.NodeDescription, from []end) []end {
	s, state := c.state(n, styleControl)
	fork := c.node("[/", label(n.Name, state), "\\]", s)
	c.join(from, fork)
	var ends []end
	for _, branch := range n.Nodes {
		ends = append(ends, c.draw(branch, []end{{id: fork}})...)
	}
	return c.single(ends, c.node("[\\", label("all of "+n.Name), "/]", s))
}

// choice draws an If: its two sequences are named by the arrows.
func (c *chart) choice(n saga.NodeDescription, from []end) []end {
	s, state := c.state(n, styleControl)
	id := c.node("{", label(n.Name, state), "}", s)
	c.join(from, id)
	taken := c.taken(n)
	outer := c.aside
	var ends []end
	for i, way := range n.Nodes {
		if outer == live && taken != 0 && taken != i+1 {
			c.aside = untaken
		}
		ends = append(ends, c.flow(way.Nodes, []end{{id: id, says: way.Name}})...)
		c.aside = outer
	}
	return ends
}

func (c *chart) forEach(n saga.NodeDescription, from []end) []end {
	bounds := "each " + n.Item
	if n.AtMost > 0 {
		bounds += fmt.Sprintf(", at most %d at once", n.AtMost)
	}
	if n.Tolerate > 0 {
		bounds += fmt.Sprintf(", up to %d may fail", n.Tolerate)
	}
	s, state := c.state(n, styleFrame)
	outer := c.aside
	id := c.frame(label(n.Name, bounds, state), s, func() {
		if c.aside == live {
			c.aside = pattern
		}
		c.flow(n.Nodes, nil)
		c.items(n.Path)
	})
	c.aside = outer
	return c.single(from, id)
}

// text is the whole chart.
func (c *chart) text() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n" + c.nodes.String() + c.arrows.String())
	for s, ids := range c.styled {
		if len(ids) == 0 {
			continue
		}
		name, look := style(s).look()
		fmt.Fprintf(&b, "    classDef %s %s\n    class %s %s\n", name, look, strings.Join(ids, ","), name)
	}
	return b.String()
}
