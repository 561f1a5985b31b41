package sagatest

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func loadMissing(s *stage) {
	s.commit(create(s.state("a")))
	found, err := s.store.Load(s.Context(), []coordinator.Want{{ID: s.id("a")}, {ID: s.id("b"), Keys: []string{"", "rooms[0]"}}})
	if err != nil || len(found) != 1 || found[s.id("a")].Version != 1 {
		s.Errorf("Load of one that exists and one that does not: %v, %v", found, err)
	}
	if found, err := s.store.Load(s.Context(), nil); err != nil || len(found) != 0 {
		s.Errorf("Load of nothing: %v, %v", found, err)
	}
}

// roundTrip fills every field by reflection, so that one that is added to the state cannot be forgotten by a store.
func roundTrip(s *stage) {
	var state saga.State
	fill(reflect.ValueOf(&state).Elem(), 1)
	state.ID, state.Version, state.Status = s.id("a"), 1, saga.Parked
	state.Started, state.Updated = epoch(), epoch().Add(time.Hour)
	state.Root.Key, state.Root.Wake = "", epoch().Truncate(time.Millisecond)
	item := state.Root
	item.Key, item.Data = "rooms[0]", []byte(`{"room":1}`)
	state.Items = map[string]saga.Record{"rooms[0]": item}
	s.filled(state, item, item.Nodes[0], *item.Nodes[0].Fan)
	s.commit(create(state))
	if got := s.load(state.ID, "", "rooms[0]"); !reflect.DeepEqual(got, state) {
		s.Errorf("Load returned\n%+v, want\n%+v", got, state)
	}
}

// fill sets every field to something that is not zero.
func fill(v reflect.Value, n int64) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(n)
	case reflect.Uint8:
		v.SetUint(uint64('0' + n%10))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n+int64(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n+int64(i))
		}
	default:
	}
}

func wantedRecords(s *stage) {
	state := s.state("a")
	state.Items = map[string]saga.Record{
		"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{Phase: saga.PhaseDone}}},
		"rooms[1]": {Key: "rooms[1]", Data: []byte("1"), Nodes: []saga.NodeState{{Phase: saga.PhaseDoing}}},
	}
	s.commit(create(state))
	if got := s.load(state.ID, "rooms[1]", "rooms[7]"); got.Root.Data != nil || got.Root.Nodes == nil || len(got.Items) != 1 || string(got.Items["rooms[1]"].Data) != "1" {
		s.Errorf("wanting rooms[1] and one that does not exist: root data %q, nodes %v, items %v", got.Root.Data, got.Root.Nodes, got.Items)
	}
	if got := s.load(state.ID, ""); string(got.Root.Data) != `{"a":1}` || len(got.Items) != 0 {
		s.Errorf("wanting the root's data: %q, items %v", got.Root.Data, got.Items)
	}
}

func nilDataKeeps(s *stage) {
	first := s.state("a")
	first.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}}}
	s.commit(create(first))
	second := next(first)
	second.Root.Nodes = []saga.NodeState{{Phase: saga.PhaseDone}}
	second.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{Phase: saga.PhaseUndone}}}}
	s.commit(update(first, second))
	got := s.load(first.ID, "", "rooms[0]")
	if !reflect.DeepEqual(got.Root, second.Root) || !reflect.DeepEqual(got.Items, second.Items) {
		s.Errorf("after an update without data: %+v, %+v", got.Root, got.Items)
	}
	third := next(second)
	third.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("zero"), Nodes: []saga.NodeState{{}}}}
	s.commit(update(second, third))
	if got := s.load(first.ID, "rooms[0]"); string(got.Items["rooms[0]"].Data) != "zero" {
		s.Errorf("after an update with data an item has %q", got.Items["rooms[0]"].Data)
	}
}

func createTwice(s *stage) {
	s.commit(create(s.state("a")))
	again := s.state("a")
	again.Root.Data = []byte("again")
	conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{create(again)})
	if err != nil || len(conflicts) != 1 || conflicts[0] != again.ID {
		s.Errorf("creating twice: conflicts %v, %v", conflicts, err)
	}
	if got := s.load(again.ID, ""); string(got.Root.Data) != `{"a":1}` {
		s.Errorf("the second creation wrote %s", got.Root.Data)
	}
}

func staleVersion(s *stage) {
	stale, fresh := s.state("stale"), s.state("fresh")
	s.commit(create(stale), create(fresh))
	current := next(stale)
	s.commit(update(stale, current))

	late := next(stale) // based on version 1, which is not the present one
	late.Reason = "late"
	late.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}}}
	lateChange := update(stale, late)
	lateChange.Log = []coordinator.LogEntry{{Version: 2, At: epoch(), Log: saga.Log{Kind: saga.LogSent, Detail: "late"}}}
	lateChange.Audit = []coordinator.AuditEntry{{Version: 2, At: epoch(), Audit: saga.Audit{Act: saga.Act{ID: "x"}}}}
	lateChange.Outbox = []messaging.Message{{ID: s.tag + "late", Topic: s.tag}}
	unborn := s.state("unborn")
	unborn.Version = 6
	ok := next(fresh)
	ok.Reason = "in time"
	conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{
		lateChange, update(fresh, ok), {Before: 5, State: unborn, Records: []saga.Record{unborn.Root}},
	})
	if err != nil || len(conflicts) != 2 {
		s.Fatalf("conflicts %v, %v; want the stale one and the one that does not exist", conflicts, err)
	}
	if got := s.load(stale.ID, "rooms[0]"); got.Version != 2 || got.Reason != "" || len(got.Items) != 0 {
		s.Errorf("the stale change was written: %+v", got)
	}
	if got := s.load(fresh.ID); got.Version != 2 || got.Reason != "in time" {
		s.Errorf("the fresh change was not written: %+v", got)
	}
	lines, err := s.reader.History(s.Context(), stale.ID, 0, 10)
	if err != nil || len(lines) != 1 {
		s.Errorf("the stale change's log was written: %v, %v", lines, err)
	}
	if acts, err := s.reader.Audits(s.Context(), stale.ID); err != nil || len(acts) != 0 {
		s.Errorf("the stale change's audit was written: %v, %v", acts, err)
	}
	if n := len(s.pending()); n != 0 {
		s.Errorf("%d messages of the stale change are in the outbox", n)
	}
}

func concurrentCommits(s *stage) {
	const writers = 8
	first := s.state("a")
	s.commit(create(first))
	var wg sync.WaitGroup
	won := make(chan string, writers)
	for i := range writers {
		wg.Go(func() {
			mine := next(first)
			mine.Reason = fmt.Sprint("writer ", i)
			conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{update(first, mine)})
			if err == nil && len(conflicts) == 0 {
				won <- mine.Reason
			}
		})
	}
	wg.Wait()
	close(won)
	var winners []string
	for w := range won {
		winners = append(winners, w)
	}
	got := s.load(first.ID)
	if len(winners) != 1 || got.Version != 2 || got.Reason != winners[0] {
		s.Errorf("winners %v; the instance is at version %d by %q", winners, got.Version, got.Reason)
	}
}

func cancelledCommit(s *stage) {
	if _, err := s.store.Commit(cancelled(s.Context()), []coordinator.Change{create(s.state("a"))}); err == nil {
		s.Error("Commit with a cancelled context has no error")
	}
	if found, err := s.store.Load(s.Context(), []coordinator.Want{{ID: s.id("a")}}); err != nil || len(found) != 0 {
		s.Errorf("it was committed: %v, %v", found, err)
	}
}

func nothingShared(s *stage) {
	state := s.state("a")
	state.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{Fan: &saga.Fan{Total: 1}}}}}
	s.commit(create(state))
	spoil := func(state saga.State) {
		state.Root.Data[0], state.Root.Nodes[0].Phase = 'x', saga.PhaseUndone
		state.Items["rooms[0]"].Data[0] = 'x'
		state.Items["rooms[0]"].Nodes[0].Fan.Total = 7
	}
	spoil(state)
	spoil(s.load(state.ID, "", "rooms[0]"))
	got := s.load(state.ID, "", "rooms[0]")
	if !bytes.Equal(got.Root.Data, []byte(`{"a":1}`)) || got.Root.Nodes[0].Phase != saga.PhaseIdle ||
		string(got.Items["rooms[0]"].Data) != "0" || got.Items["rooms[0]"].Nodes[0].Fan.Total != 1 {
		s.Errorf("a caller's change reached the store: %+v", got)
	}
}

func outboxRows(s *stage) {
	c := create(s.state("a"))
	c.Outbox = []messaging.Message{
		{ID: s.tag + "1", Topic: s.tag, Key: "k", Type: "t", Headers: map[string]string{"h": "v"}, Payload: []byte{0, 1, 0xff}},
		{ID: s.tag + "2", Topic: s.tag},
	}
	s.commit(c)
	got := s.pending()
	if len(got) != 2 || got[s.tag+"1"].Headers["h"] != "v" || !bytes.Equal(got[s.tag+"1"].Payload, []byte{0, 1, 0xff}) {
		s.Errorf("the outbox has %v", got)
	}
	if err := s.outbox.Delete(s.Context(), []string{s.tag + "1"}); err != nil {
		s.Fatal(err)
	}
	if got := s.pending(); len(got) != 1 {
		s.Errorf("after Delete the outbox has %v", got)
	}
}

func oddText(s *stage) {
	odd := `O'Hara "%_\` + "\u00f1\u65e5\U0001F600\n"
	lower, upper := s.state("case"), s.state("CASE")
	lower.Reason, lower.Key, upper.Key = odd, odd+s.tag, strings.ToUpper(odd)+s.tag
	s.commit(create(lower), create(upper))
	if got := s.load(lower.ID); got.Reason != odd || got.Key != lower.Key {
		s.Errorf("odd text came back as %q and %q", got.Reason, got.Key)
	}
	page, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Key: lower.Key})
	if err != nil || len(page) != 1 || page[0].ID != lower.ID {
		s.Errorf("List by the odd key: %v, %v", page, err)
	}
}

func bigData(s *stage) {
	state := s.state("a")
	state.Root.Data = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	s.commit(create(state))
	if got := s.load(state.ID, ""); !bytes.Equal(got.Root.Data, state.Root.Data) {
		s.Errorf("1 MiB of data came back as %d bytes", len(got.Root.Data))
	}
}
