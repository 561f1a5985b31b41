package saga_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

// What an instance was parked for is not its reason once it has ended.
func TestExploreFoundTheReasonOfAnOrphanThatEnded(t *testing.T) {
	t.Parallel()
	d := drive(t, bare("a").NothingToUndo())
	d.start(data{})
	parked, _ := saga.ParkOrphan(d.whole(), "its definition is lost", d.now)
	d.header = parked
	d.header.Root = saga.Record{}
	d.ok("a")
	d.is(saga.Completed)
	equal(t, "reason", d.header.Reason, "")
}

// An item that is compensated on its own counts among those that are under way when the others are compensated, too.
func TestExploreFoundMoreItemsUnderWayThanAtMost(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("f", undoable("a").Attempts(1)).AtMost(1).Tolerate(1))
	d.start(items(2, "f"))
	d.want(d.ok("f[0]/a"), "do f[1]/a")
	d.want(d.pass(saga.DefaultTimeout), "undo f[1]/a") // it was not answered, and is tolerated
	d.want(d.act(saga.Cancel, ""), "")
	d.want(d.undone("f[1]/a"), "undo f[0]/a")
}
