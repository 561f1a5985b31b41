package saga_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

// R9: an item within an item that goes on after a rest makes both count as in flight.
func TestR9WhatAnItemWithinAnItemSendsIsAwaited(t *testing.T) {
	t.Parallel()
	root := items(2, "rooms")
	root.Items["rooms"][0] = items(1, "beds")
	d := drive(t, fan("rooms", fan("beds", wait("nod"), undoable("make")), undoable("book")))
	d.want(d.start(root), "do rooms[1]/book")
	d.want(d.signal("rooms[0]/beds[0]/nod"), "do rooms[0]/beds[0]/make")
	d.want(d.no("rooms[1]/book"), "") // the bed is being made
	d.is(saga.Running)
	d.want(d.ok("rooms[0]/beds[0]/make"), "undo rooms[0]/beds[0]/make")
	d.undone("rooms[0]/beds[0]/make")
	d.is(saga.Compensated)
}

// R9: a step whose function panicked is not in flight any more, so that a failure beside it decides at once, whichever came first.
func TestR9AStuckStepIsNotInFlight(t *testing.T) {
	t.Parallel()
	broken := func(name string) saga.Node[data] {
		return saga.Step(name, do, saga.On(func(*data, done) { panic("bad reply") }), undo)
	}
	for name, nodes := range map[string][]saga.Node[data]{
		"branches": {saga.Parallel("all", branch("a", broken("step")), branch("b", undoable("step")))},
		"items":    {saga.Parallel("all", fan("a", broken("step")), fan("b", undoable("step")))},
	} {
		for _, failsFirst := range []bool{false, true} {
			d := drive(t, nodes...)
			a, b := "all/a/step", "all/b/step"
			if name == "items" {
				a, b = "all/a[0]/step", "all/b[0]/step"
			}
			d.start(items(1, "a", "b"))
			if failsFirst {
				d.want(d.no(b), "")
				d.want(d.ok(a), "undo "+a)
			} else {
				d.want(d.ok(a), "")
				d.is(saga.Parked)
				d.want(d.no(b), "undo "+a)
			}
			d.is(saga.Compensating)
			d.undone(a)
			d.is(saga.Compensated)
			equal(t, name+": reason", d.header.Reason, b+": full")
		}
	}
}
