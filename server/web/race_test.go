package web_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// Operators race with live replies: many sagas are under way over participants that are slow enough for time-outs, late replies and
// stuck nodes, while several operators act on what they see.

// operate lets operators do such things, each until a number of them was accepted. Sagas begin meanwhile, so that some are always under way.
func (y *yard) operate(kinds ...string) {
	y.Helper()
	const operators, quota, crowd = 5, 6, 15
	late, cancel := context.WithTimeout(y.Context(), 3*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var busy atomic.Int32
	busy.Store(operators)
	for operator := range operators {
		all.Go(func() {
			defer busy.Add(-1)
			random := rand.New(rand.NewPCG(uint64(operator), 7))
			for i, done := 0, 0; done < quota; i++ {
				if late.Err() != nil {
					y.Errorf("operator %d: only %d actions were accepted", operator, done)
					return
				}
				id := y.some(random)
				s := y.look(id, 0)
				if s.State.Terminal() {
					continue
				}
				act := choose(random, kinds[random.IntN(len(kinds))], s)
				if act == nil {
					continue
				}
				act["id"] = fmt.Sprintf("%d-%d", operator, i)
				twice := random.IntN(3) == 0
				if twice && act["action"] != "edit" { // then its id alone must see to it that it is applied once
					delete(act, "version")
				}
				if y.act(id, act, twice) {
					done++
				}
			}
		})
	}
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for began := time.Now(); busy.Load() > 0; {
		<-pace.C
		// Sagas that wait for an approval are not for operators who only retry: they must not be the whole crowd.
		if y.open() < crowd+int(time.Since(began)/(200*time.Millisecond)) {
			y.start(1)
		}
	}
	all.Wait()
}

// open counts the sagas that are not at their end.
func (y *yard) open() (n int) {
	y.Helper()
	list, _, err := y.store.List(y.Context(), coordinator.ListQuery{Limit: 500})
	if err != nil {
		y.Fatal(err)
	}
	for _, s := range list {
		if !s.Status.Terminal() {
			n++
		}
	}
	return n
}

// some is one of the sagas that are not at their end, or any.
func (y *yard) some(random *rand.Rand) saga.ID {
	y.Helper()
	list, _, err := y.store.List(y.Context(), coordinator.ListQuery{Limit: 500})
	if err != nil || len(list) == 0 {
		y.Errorf("%d sagas, %v", len(list), err)
		return ""
	}
	live := slices.DeleteFunc(slices.Clone(list), func(s saga.State) bool { return s.Status.Terminal() })
	if len(live) > 0 {
		list = live
	}
	return list[random.IntN(len(list))].ID
}

// settle makes the participants answer at once and does what operators have to until every saga is at its end.
func (y *yard) settle() {
	y.Helper()
	y.calm.Store(true)
	late := time.NewTimer(3 * time.Minute)
	defer late.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for round := 0; ; round++ {
		open := 0
		for _, id := range y.ids {
			s := y.look(id, 0)
			if s.State.Terminal() {
				continue
			}
			open++
			for i, n := range s.nodes() {
				if !n.Stuck && n.Phase != "waiting" {
					continue
				}
				kind := map[bool]string{true: "skip", false: "retry"}[n.Kind == "wait"]
				y.act(id, map[string]any{
					"action": kind, "node": n.Path, "by": "eva", "why": "the end", "id": fmt.Sprintf("end-%d-%d", round, i),
				}, false)
			}
		}
		if open == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-late.C:
			y.Fatalf("%d sagas do not come to their end", open)
		}
	}
}

// judge compares each saga with what the operators know of it, and with what the participants did.
func (y *yard) judge(lenient bool) map[saga.Status]int {
	y.Helper()
	ends := map[saga.Status]int{}
	for i, id := range y.ids {
		s := y.look(id, 1000)
		ends[s.State]++
		audited, skipped := map[string]bool{}, map[string]bool{}
		edits := map[string]int{}
		for _, a := range s.Actions {
			if audited[a.ID] {
				y.Errorf("saga %d: the action %s was applied twice", i, a.ID)
			}
			audited[a.ID] = true
			if a.Action == "edit" {
				edits[a.Node]++
			}
			if a.Action == "skip" {
				skipped[a.Node] = true
			}
		}
		if !maps.Equal(audited, y.accepted[id]) {
			y.Errorf("saga %d: accepted %v, audited %v", i, y.accepted[id], audited)
		}
		version := int64(0)
		for _, l := range s.History {
			if l.Version != version && l.Version != version+1 {
				y.Errorf("saga %d: its story goes from version %d to %d", i, version, l.Version)
			}
			version = l.Version
		}
		if s.Data.Edits != edits[""] {
			y.Errorf("saga %d: %d edits, of %d that were accepted", i, s.Data.Edits, edits[""])
		}
		for _, item := range s.Items {
			if item.Data.Edits != edits[item.Key] {
				y.Errorf("saga %d, %s: %d edits, of %d that were accepted", i, item.Key, item.Data.Edits, edits[item.Key])
			}
		}
		if s.State == saga.Forced || lenient && len(skipped) > 0 {
			continue // its effects are as they were
		}
		y.judgeEffects(i, s)
	}
	return ends
}

// judgeEffects wants all of a completed saga and nothing of a compensated one, and every answer heard once.
func (y *yard) judgeEffects(i int, s shown) {
	y.Helper()
	key := fmt.Sprint("parcel ", i)
	effects := map[string]int{key + " fetch": 1, key + " leave": 1, key + " tell": 1}
	heard := map[string]int{"fetch": 1, "leave": 1, "tell": 1}
	for j := range 3 {
		effects[fmt.Sprintf("%s.%d load", key, j)] = 1
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	for what, want := range effects {
		if s.State == saga.Compensated {
			want = 0
		}
		if got := y.effects[what]; got != want {
			y.Errorf("saga %d is %s, and %s has the net effect %d", i, s.State, what, got)
		}
	}
	if s.State == saga.Completed && !maps.Equal(s.Data.Heard, heard) {
		y.Errorf("saga %d heard %v", i, s.Data.Heard)
	}
	for _, item := range s.Items {
		if s.State == saga.Completed && !maps.Equal(item.Data.Heard, map[string]int{"load": 1}) {
			y.Errorf("saga %d, %s heard %v", i, item.Key, item.Data.Heard)
		}
	}
}

// TestActionsRaceWithReplies races each action, and all of them.
func TestActionsRaceWithReplies(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][]string{{"retry"}, {"skip"}, {"edit"}, {"force"}, {"cancel"}, {"retry", "skip", "edit", "edit", "force", "cancel"}} {
		t.Run(strings.Join(slices.Compact(slices.Clone(kinds)), "+"), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 15)
			y.operate(kinds...)
			y.settle()
			ends := y.judge(slices.Contains(kinds, "skip"))
			t.Logf("%d sagas: %v", len(y.ids), ends)
			if slices.Contains(kinds, "force") != (ends[saga.Forced] > 0) {
				t.Errorf("%d were forced", ends[saga.Forced])
			}
		})
	}
}

// TestPausesRaceWithReplies pauses and releases while sagas are under way and operators act: nothing is lost, and nothing goes out of
// a paused saga.
func TestPausesRaceWithReplies(t *testing.T) {
	t.Parallel()
	y := newYard(t, 15)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var paused, released atomic.Int32
	go func() {
		defer close(stopped)
		random := rand.New(rand.NewPCG(3, 3))
		var all sync.WaitGroup
		for i := 0; ; i++ {
			select {
			case <-stop:
				all.Wait()
				return
			default:
			}
			definition := []string{"", `"definition":"shipment",`}[random.IntN(2)]
			rate := []int{0, 50, 5000}[random.IntN(3)]
			for range 2 { // two operators at once
				all.Go(func() {
					if got := y.site.do("POST", "/v1/pauses", `{`+definition+`"by":"a","why":"w"}`); got.status == http.StatusOK {
						paused.Add(1)
					} else if got.status != http.StatusConflict {
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			all.Wait()
			for range 2 {
				all.Go(func() {
					got := y.site.do("POST", "/v1/pauses/release", fmt.Sprintf(`{%s"rate":%d,"by":"a","why":"w"}`, definition, rate))
					if got.status == http.StatusOK {
						released.Add(1)
					} else if got.status != http.StatusConflict {
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			all.Wait()
		}
	}()
	y.operate("retry", "cancel")
	close(stop)
	<-stopped
	for _, definition := range []string{"", `"definition":"shipment",`} {
		got := y.site.do("POST", "/v1/pauses/release", `{`+definition+`"by":"a","why":"the end"}`)
		if got.status != http.StatusOK && got.status != http.StatusConflict {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	y.settle()
	ends := y.judge(false)
	t.Logf("%d pauses, %d releases: %v", paused.Load(), released.Load(), ends)
	if paused.Load() == 0 || released.Load() == 0 {
		t.Error("it has shown nothing")
	}
	var history struct{ Items []struct{ State string } }
	y.site.get("/v1/pauses?limit=500").decode(t, &history)
	for _, p := range history.Items {
		if p.State != "released" {
			t.Errorf("a pause is left %s", p.State)
		}
	}
}
