package coordinator_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// fleet is a tour that only counts its rooms.
type fleet struct {
	ID    string
	Rooms int
	Broke bool
}

func bookFleet() *saga.Definition[fleet] {
	return saga.MustDefine("fleet",
		saga.ForEach("rooms", func(f fleet) []room { return rooms(f.ID, f.Rooms) },
			saga.Step("room",
				saga.Do(func(r room) bookRoom { return bookRoom{r.Name} }),
				saga.On(func(r *room, e roomBooked) { r.Ref = e.Ref }),
				saga.OnFailure(func(*room, roomFull) {}),
				saga.Undo(func(r room) cancelRoom { return cancelRoom{r.Name, r.Ref} }))),
		saga.Step("confirm",
			saga.Do(func(f fleet) confirm { return confirm{f.ID, f.Broke} }),
			saga.On(func(*fleet, confirmed) {}),
			saga.OnFailure(func(*fleet, declined) {})).Pivot())
}

// sails takes a fleet to its end.
func sails(tb testing.TB, w *touring, c *coordinator.Coordinator, def *saga.Definition[fleet], f fleet) saga.State {
	tb.Helper()
	id, err := coordinator.Start(context.Background(), c, def, f, coordinator.Key(f.ID))
	if err != nil {
		tb.Fatal(err)
	}
	want := saga.Completed
	if f.Broke {
		want = saga.Compensated
	}
	return w.ends(c, id, want)
}

// counting counts the item records that are loaded and written.
type counting struct {
	*sqlsaga.Store
	loaded, written atomic.Int64
}

func (s *counting) Load(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
	found, err := s.Store.Load(ctx, wants)
	for _, state := range found {
		s.loaded.Add(int64(len(state.Items)))
	}
	return found, err
}

func (s *counting) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	for _, c := range changes {
		s.written.Add(int64(len(c.Records)))
	}
	return s.Store.Commit(ctx, changes)
}

// TestTenThousandItems completes and compensates a fan-out on a database, and shows that an item costs the same number of records, loaded and
// written, however many there are. What that takes in time is BenchmarkFanOutThroughTheCoordinator's to tell.
func TestTenThousandItems(t *testing.T) {
	t.Parallel()
	many := 10_000
	if slow {
		many = 1000
	}
	_, database := sqlStore(t, inMemory)
	store := &counting{Store: database}
	w, def := newTouring(t), bookFleet()
	w.hotel()
	c, _ := w.coordinator(coordinator.Config{Store: store, Definitions: []saga.Any{def}})
	for _, broke := range []bool{false, true} {
		for _, n := range []int{100, many} {
			name := fmt.Sprintf("fleet of %d, broke: %t", n, broke)
			store.loaded.Store(0)
			store.written.Store(0)
			s := sails(t, w, c, def, fleet{ID: name, Rooms: n, Broke: broke})
			loaded, written := float64(store.loaded.Load())/float64(n), float64(store.written.Load())/float64(n)
			// It is created, started, answered, compensated, and answered again; a conflict may repeat something.
			if loaded > 6 || written > 6 {
				t.Errorf("%s: of each item %.1f records were loaded and %.1f written", name, loaded, written)
			}
			w.wantRooms(name, n, map[bool]int{true: 0, false: 1}[broke])
			if fan := s.Root.Nodes[1].Fan; fan.Total != n || fan.Started != n || fan.Active != 0 || fan.Undoing != 0 {
				t.Errorf("%s: the fan-out counts %+v", name, fan)
			}
			page, err := store.Items(t.Context(), s.ID, n-1, 10)
			if err != nil || len(page) != 1 || page[0].Key != fmt.Sprintf("rooms[%d]", n-1) || !page[0].Wake.IsZero() {
				t.Errorf("%s: the last item is %+v, %v", name, page, err)
			}
		}
	}
}

// BenchmarkFanOutThroughTheCoordinator takes a fan-out from its start to its end, through the coordinator, a broker and a participant in memory, and a store in
// SQLite. Its ns/item shows that a transition costs the same however many items there are.
func BenchmarkFanOutThroughTheCoordinator(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		for _, broke := range []bool{false, true} {
			for name, url := range map[string]func(*testing.B) string{
				"memory": func(*testing.B) string { return inMemory },
				"file":   func(b *testing.B) string { b.Helper(); return "sqlite:" + filepath.Join(b.TempDir(), "sagas.db") },
			} {
				b.Run(fmt.Sprintf("%s/broke=%t/%d", name, broke, n), func(b *testing.B) {
					_, store := sqlStore(b, url(b))
					w, def := newTouring(b), bookFleet()
					w.hotel()
					c, _ := w.coordinator(coordinator.Config{Store: store, Definitions: []saga.Any{def}})
					sagas := 0
					for b.Loop() {
						sagas++
						sails(b, w, c, def, fleet{ID: fmt.Sprint("f", sagas), Rooms: n, Broke: broke})
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sagas*n), "ns/item")
				})
			}
		}
	}
}
