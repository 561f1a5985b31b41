package saga_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// choreo runs a scenario as a choreography: every service, and a watcher, keep a state of their own and see all events, which
// come to each of them topic by topic, in any order across topics.
type choreo struct {
	scenario
	now      time.Time
	root     *place
	members  []*member
	parties  map[string]*party // participants, each a service's
	commands []saga.Send
	audit    *auditor
	waits    []string
	retries  int
	seen     map[string]bool
}

// member is one party's side of the instance.
type member struct {
	*world
	service string
	queues  map[string][]saga.Input // by topic
}

// dance draws scenarios of choreographies.
func dance() *rapid.Generator[scenario] {
	return rapid.Custom(func(t *rapid.T) scenario {
		return (&generator{T: t, services: []string{"air", "inn", "bank"}}).scenario(drawBehaviour)
	})
}

func newChoreo(sc scenario, decide decider) (*choreo, error) {
	def, err := saga.Define("random", nodes(sc.Root)...)
	if err != nil {
		return nil, err
	}
	c := &choreo{scenario: sc, now: epoch, root: placed(sc.Root), parties: map[string]*party{}, seen: map[string]bool{}}
	c.audit = newAuditor(c.root)
	for _, l := range c.root.leaves() {
		switch l.Kind {
		case saga.KindStep:
			c.parties[l.path] = &party{place: l, behaviour: sc.behaviour(l.path)}
		case saga.KindWait:
			c.waits = append(c.waits, l.path)
		}
	}
	start := dataOf(sc.Root)
	for _, service := range []string{"", "air", "inn", "bank"} {
		if service != "" && !serves(sc.Root, service) {
			continue
		}
		part, err := saga.Choreograph(def, service, saga.JoinOn(func(done) data { return start }), saga.JoinOn(func(refused) data { return start }))
		if err != nil {
			return nil, err
		}
		m := &member{world: newWorld(part), service: service, queues: map[string][]saga.Input{}}
		m.decide, m.once = decide, len(c.parties) > 60
		c.members = append(c.members, m)
	}
	c.publish("start", saga.Start{ID: "s1", Data: start})
	return c, nil
}

func serves(specs []spec, service string) bool {
	return slices.ContainsFunc(specs, func(s spec) bool {
		return s.Kind == saga.KindStep && s.Service == service || serves(s.Kids, service) || serves(s.Else, service)
	})
}

func (c *choreo) publish(topic string, in saga.Input) {
	for _, m := range c.members {
		m.queues[topic] = append(m.queues[topic], in)
	}
}

// dancing plays the scenario to its end.
func dancing(sc scenario, decide decider) (*choreo, error) {
	c, err := newChoreo(sc, decide)
	if err != nil {
		return c, err
	}
	random := rand.New(rand.NewPCG(sc.Seed, 0))
	for range 4 * sc.Events {
		if err := c.event(random.IntN(16), random.IntN(1<<20)); err != nil {
			return c, err
		}
	}
	return c, c.calm()
}

func (c *choreo) event(kind, which int) error {
	m := c.members[which%len(c.members)]
	which /= len(c.members)
	switch {
	case kind < 4 && len(c.commands) > 0:
		return c.carryOut(which % len(c.commands))
	case kind < 10:
		topics := slices.Sorted(maps.Keys(m.queues))
		_, err := c.deliver(m, topics[which%len(topics)], which%3 == 0, which%5 == 0)
		return err
	case kind == 10 && len(c.commands) > 0: // one is lost, if it is sent again
		i := which % len(c.commands)
		if s := c.commands[i]; s.Direction == saga.DoDirection || c.parties[s.Node].Ack != unacked {
			c.commands = slices.Delete(c.commands, i, i+1)
		}
	case kind == 11 && len(c.commands) > 0: // one comes twice
		c.commands = append(c.commands, c.commands[which%len(c.commands)])
	case kind == 12:
		return c.tick(m, which)
	case kind == 13 && which%4 == 0:
		for _, m := range c.members {
			if _, next := m.due(); !next.IsZero() {
				c.setTime(next)
				break
			}
		}
	case kind == 14:
		return c.retry(m, which)
	case kind == 15 && len(c.waits) > 0:
		i := which % len(c.waits)
		c.signal(i)
	}
	return nil
}

func (c *choreo) setTime(now time.Time) {
	c.now = now
	for _, m := range c.members {
		m.now = now
	}
}

func (c *choreo) signal(i int) {
	path := c.waits[i]
	c.waits = slices.Delete(c.waits, i, i+1)
	c.audit.facts[path].succeeded = true
	c.publish("signals", saga.Signal{Node: path, Event: nod{By: "ana"}})
}

// deliver gives the member the first message of the topic. What is for an instance that it does not know, and what is early, is given again:
// in its place, or behind the others. It reports whether the message was taken.
func (c *choreo) deliver(m *member, topic string, behind, twice bool) (bool, error) {
	queue := m.queues[topic]
	if len(queue) == 0 {
		return false, nil
	}
	in := queue[0]
	taken, err := c.take(m, in)
	if err != nil {
		return false, fmt.Errorf("%q, %#v: %w", m.service, in, err)
	}
	if taken || behind {
		m.queues[topic] = queue[1:]
	}
	if !taken && behind || twice {
		m.queues[topic] = append(m.queues[topic], in)
	}
	return taken, nil
}

func (c *choreo) take(m *member, in saga.Input) (taken bool, err error) {
	if r, ok := in.(saga.Reply); ok && m.header.Version == 0 {
		start, joins, err := saga.JoinedBy(m.def, r.Event)
		if err != nil || !joins {
			return false, err
		}
		start.ID = "s1"
		c.seen["joined"] = true
		if err := c.apply(m, start); err != nil {
			return false, err
		}
	}
	if _, start := in.(saga.Start); !start && m.header.Version == 0 {
		return false, nil
	}
	err = c.apply(m, in)
	if errors.Is(err, saga.ErrEarly) {
		c.seen["early"] = true
		return false, nil
	}
	return err == nil, err
}

func (c *choreo) apply(m *member, in saga.Input) error {
	effects, err := m.apply(in)
	if err != nil {
		return err
	}
	if r, ok := in.(saga.Reply); ok && len(m.node(r.Node).Early) > 0 {
		c.seen["kept for its turn"] = true
	}
	if m.header.Status == saga.Parked {
		c.seen["parked"] = true
	}
	for _, e := range effects {
		if l, ok := e.(saga.Log); ok && l.Kind == saga.LogTolerated {
			c.seen["tolerated"] = true
		}
		s, ok := e.(saga.Send)
		if !ok {
			continue
		}
		if l := c.audit.leaves[s.Node]; l == nil || l.Service != m.service {
			return fmt.Errorf("R1: %q sends the command of %s", m.service, s.Node)
		}
		if err := c.judge(s); err != nil {
			return err
		}
		c.commands = append(c.commands, s)
	}
	return nil
}

// judge tells whether the command may be sent, by what all participants have done.
func (c *choreo) judge(s saga.Send) error {
	l, f := c.audit.leaves[s.Node], c.audit.facts[s.Node]
	if s.Direction == saga.DoDirection {
		if f.sent {
			return nil // again
		}
		for _, p := range l.before {
			if p.Kind != saga.KindSleep && !c.audit.facts[p.path].succeeded && (!c.lost(p) || c.audit.open(p)) {
				return fmt.Errorf("R1: %s was sent before %s succeeded", s.Node, p.path)
			}
		}
		f.sent = true
		return nil
	}
	if f.undoSent {
		return nil // again
	}
	f.undoSent = true
	if !f.succeeded || f.refused {
		return fmt.Errorf("I13: %s is undone: succeeded %t, refused %t", s.Node, f.succeeded, f.refused)
	}
	for _, later := range l.after {
		if c.audit.open(later) {
			return fmt.Errorf("I14: %s is undone before %s was", s.Node, later.path)
		}
	}
	return nil
}

// lost reports whether the leaf lies in an item that has failed.
func (c *choreo) lost(l *place) bool {
	for p := l.up; p != nil; p = p.up {
		if p.Kind == item && c.audit.doomed(p) {
			return true
		}
	}
	return false
}

// carryOut lets a participant carry a command out, and publishes its answer.
func (c *choreo) carryOut(i int) error {
	s := c.commands[i]
	c.commands = slices.Delete(c.commands, i, i+1)
	p := c.parties[s.Node]
	if reply, answers := p.take(s); answers {
		c.audit.hearReply(reply)
		c.publish("events of "+p.Service, reply)
	}
	return nil
}

func (c *choreo) tick(m *member, which int) error {
	keys, _ := m.due()
	if len(keys) == 0 {
		return nil
	}
	return c.apply(m, saga.Tick{Record: keys[which%len(keys)]})
}

// retry makes an operator mend the participant of a node that is stuck at the member, and try again.
func (c *choreo) retry(m *member, which int) error {
	var stuck []string
	for _, v := range saga.View(m.def, m.whole()) {
		if v.State.Stuck {
			stuck = append(stuck, v.Path)
		}
	}
	if len(stuck) == 0 {
		return nil
	}
	path := stuck[which%len(stuck)]
	if p := c.parties[path]; p.Service == m.service {
		p.Deaf, p.Silent, p.UndoDeaf = false, false, false
	}
	c.retries++
	return c.apply(m, saga.Act{ID: fmt.Sprintf("retry-%d", c.retries), Action: saga.Retry, Node: path, By: "ana", Why: "mended"})
}

// calm brings everything to its end.
func (c *choreo) calm() error {
	enough := c.retries + 6*(1+len(c.parties)) // a participant that is mended needs a few
	for range events {
		if c.retries > enough {
			break
		}
		moved, err := c.move()
		if err != nil {
			return err
		}
		if !moved {
			return c.end()
		}
	}
	return errors.New("I1: the instance does not come to its end")
}

// move does the next thing that there is to do.
func (c *choreo) move() (bool, error) {
	if len(c.commands) > 0 {
		return true, c.carryOut(0)
	}
	for _, m := range c.members {
		for _, topic := range slices.Sorted(maps.Keys(m.queues)) {
			for range len(m.queues[topic]) {
				if taken, err := c.deliver(m, topic, true, false); taken || err != nil {
					return true, err
				}
			}
		}
	}
	var next time.Time
	for _, m := range c.members {
		keys, then := m.due()
		if len(keys) > 0 {
			return true, c.tick(m, 0)
		}
		if !then.IsZero() && (next.IsZero() || then.Before(next)) {
			next = then
		}
	}
	if len(c.waits) > 0 {
		c.signal(0)
		return true, nil
	}
	if !next.IsZero() {
		c.setTime(next)
		return true, nil
	}
	for _, m := range slices.Backward(c.members) { // the watcher last: it may only wait for another
		if m.header.Stuck > 0 && !m.header.Status.Terminal() {
			return true, c.retry(m, 0)
		}
	}
	return false, nil
}

// end compares what the members say with each other and with what the participants did.
func (c *choreo) end() error {
	status := c.members[0].header.Status
	for _, m := range c.members {
		if !m.header.Status.Terminal() || m.header.Status != status {
			return fmt.Errorf("I1: the watcher's instance is %s at the end, that of %q %s (%s)", status, m.service, m.header.Status, m.header.Reason)
		}
	}
	c.seen[string(status)] = true
	for path, p := range c.parties {
		net, want := p.applied-p.undone, 1
		if c.lost(p.place) {
			want = 0
		}
		exempt := p.Ack == noUndo && p.Class == saga.Compensable
		switch {
		case p.applied > 1 || p.undone > 1:
			return fmt.Errorf("I10: %s was applied %d times and undone %d times", path, p.applied, p.undone)
		case status == saga.Completed && net != want && (want == 1 || !exempt):
			return fmt.Errorf("I20: completed, but %s is applied %d times", path, net)
		case status == saga.Compensated && net != 0 && !exempt:
			return fmt.Errorf("I20: compensated, but %s is applied %d times", path, net)
		}
	}
	if status == saga.Completed {
		return c.sameEverywhere()
	}
	return nil
}

// sameEverywhere compares the members' data and phases, but those of items that failed.
func (c *choreo) sameEverywhere() error {
	first := c.members[0]
	for _, m := range c.members[1:] {
		for key, r := range m.records {
			if key != "" && (c.audit.items[key] == nil || c.lost(c.audit.items[key]) || c.audit.doomed(c.audit.items[key])) {
				continue
			}
			if !bytes.Equal(r.Data, first.records[key].Data) {
				return fmt.Errorf("I38: %q of %q has the data %s, the watcher has %s", key, m.service, r.Data, first.records[key].Data)
			}
			for i, n := range r.Nodes {
				if w := first.records[key].Nodes[i]; n.Phase != w.Phase || n.Taken != w.Taken {
					return fmt.Errorf("I38: node %d of %q of %q is %s, the watcher's %s", i, key, m.service, n.Phase, w.Phase)
				}
			}
		}
	}
	return nil
}
