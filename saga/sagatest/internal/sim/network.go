package sim

import (
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// publish sends the commands of a transition on their way.
func (r *run) publish(effects []saga.Effect) {
	for _, e := range effects {
		if c, ok := e.(saga.Send); ok {
			name := string(c.Direction) + " " + c.Node
			f := r.audit.of(c.Node)
			// What nobody acknowledges is sent once, and brokers that lose are not made up for.
			lossless := c.Direction == saga.UndoDirection && f.Acknowledged == saga.ByNothing
			r.travel("the command to "+name, f.spot, lossless, func() error { return r.deliver(c, 0) })
		}
	}
}

// travel brings a message to its receiver: once, twice, late or never.
func (r *run) travel(what string, s *spot, lossless bool, arrive func() error) {
	fault, h := r.strike(r.nth(what), Losses, Duplicates, Delays)
	switch {
	case fault == Losses && !lossless:
		r.tell("%s is lost", what)
	case fault == Duplicates:
		late := lateness(s, h)
		r.tell("%s will come a second time, %s later", what, late)
		r.after(hop, arrive)
		r.after(hop+late, arrive)
	case fault == Delays:
		late := lateness(s, h)
		r.tell("%s is held up for %s", what, late)
		r.after(hop+late, arrive)
	default:
		r.after(hop, arrive)
	}
}

// lateness is a delay: from a moment to long after all attempts.
func lateness(s *spot, h uint64) time.Duration {
	all := s.Timeout * time.Duration(max(1, s.Attempts))
	return []time.Duration{
		0, 20 * time.Millisecond, 100 * time.Millisecond, s.Timeout / 2, s.Timeout + s.Timeout/2, all + s.Timeout/2, 4*all + time.Hour,
	}[h%7]
}

// signal sends what a wait has begun to wait for: soon, twice, late or never.
func (r *run) signal(s *spot, path string) {
	soon := time.Second
	if s.Deadline > 0 {
		soon = min(soon, s.Deadline/2)
	}
	if r.counts["early "+path] > 0 {
		return
	}
	switch fault, h := r.strike("signal "+path, Losses, Duplicates, Delays); {
	case fault == Losses && s.Deadline > 0:
		r.tell("the signal for %s will not come", path)
	case fault == Duplicates:
		r.send(s, path, soon)
		r.send(s, path, soon+[]time.Duration{0, hop, s.Deadline, 24 * time.Hour}[h%4])
	case fault == Delays:
		late := s.Deadline + []time.Duration{0, time.Millisecond, time.Hour}[h%3]
		r.tell("the signal for %s will come after %s", path, late)
		r.send(s, path, late)
	default:
		r.send(s, path, soon)
	}
}

// signalEarly sends the signal for a wait before that begins, perhaps.
func (r *run) signalEarly(path string, wait time.Duration) {
	if of, _ := r.x.tree.site(path); r.even("early " + path) {
		r.counts["early "+path]++
		r.send(of.spot, path, wait)
	}
}

// signalItemsEarly does so for the waits of a fan-out's items.
func (r *run) signalItemsEarly(path string, items int) {
	fan, _ := r.x.tree.site(path)
	for _, s := range r.x.tree.waits {
		for i := range items {
			wait := fan.item(i, s)
			if fansAround(s) == len(wait.items) && strings.HasPrefix(s.Path, fan.Path+"/") && r.counts["early "+r.x.tree.path(wait)] == 0 {
				r.signalEarly(r.x.tree.path(wait), 0)
			}
		}
	}
}

// send has a signal arrive in a while.
func (r *run) send(s *spot, path string, wait time.Duration) {
	r.after(wait, func() error {
		point := "signal " + path
		signal, given := r.world.Signals[s.signal]
		if !given {
			return r.input(point, saga.Signal{Node: path, Event: r.event(s.signal, point)})
		}
		var event any
		if err := guard("the Signal function", func() { event = signal(r.source(point)) }); err != nil {
			return err
		}
		return r.input(point, saga.Signal{Node: path, Event: event})
	})
}
