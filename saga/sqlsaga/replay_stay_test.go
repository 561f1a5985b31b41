package sqlsaga_test

import (
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// replayStay is the data of the second format's definition. Nothing here is ever changed; see replayTrip.
type replayStay struct {
	VIP   bool         `json:"vip,omitempty"`
	Rooms []replayRoom `json:"rooms,omitempty"`
	By    string       `json:"by,omitempty"`
}

// replayStayV2 has every kind of node: parallels, tolerated items, choices, waits, sleeps and replies matched by payload.
func replayStayV2() *saga.Definition[replayStay] {
	step := func(name string, parts ...saga.Part[replayStay]) *saga.StepNode[replayStay] {
		return saga.Step(name, append(parts,
			saga.Do(func(replayStay) replayDo { return replayDo{What: name} }),
			saga.On(func(*replayStay, replayDone) {}),
			saga.OnFailure(func(*replayStay, replayNo) {}))...).Attempts(2).Backoff(10*time.Second, time.Minute)
	}
	undo := saga.Undo(func(s replayStay) replayUndo { return replayUndo{Ref: s.By} })
	return saga.MustDefine("replay-stay",
		saga.StartOn(func(e replayAgreed) (string, replayStay) { return e.By, replayStay{By: e.By} }),
		saga.Parallel("ground",
			step("car", undo, saga.Matching(func(s replayStay) string { return s.By },
				saga.KeyOf(func(e replayDone) string { return e.Ref }), saga.KeyOf(func(e replayNo) string { return e.Why }))).UndoneByFailure(),
			saga.Sequence("hotel",
				saga.ForEach("rooms", func(s replayStay) []replayRoom { return s.Rooms },
					saga.Step("book",
						saga.Do(func(r replayRoom) replayDo { return replayDo{What: r.Name} }),
						saga.On(func(r *replayRoom, e replayDone) { r.Ref = e.Ref }),
						saga.OnFailure(func(*replayRoom, replayNo) {}),
						saga.Undo(func(r replayRoom) replayUndo { return replayUndo{Ref: r.Ref} })),
					saga.Wait("check-in", func(r *replayRoom, e replayAgreed) { r.Ref = e.By }),
				).Tolerate(1),
				step("breakfast", undo)),
		),
		saga.If("vip", func(s replayStay) bool { return s.VIP }, step("lounge", undo)).
			Else(step("mail").NothingToUndo(), saga.Sleep("calm", func(replayStay) time.Duration { return time.Hour })),
		saga.Wait("approval", func(s *replayStay, e replayAgreed) { s.By = e.By }).Deadline(time.Hour),
		saga.Wait("survey", func(s *replayStay, e replayAgreed) { s.By += e.By }).Deadline(time.Minute).OnDeadline(func(s *replayStay) { s.By += "?" }),
		step("pay").Pivot(),
		step("ticket").Retriable(),
	)
}

func replayStayScenarios() []replayScenario {
	rooms := []replayRoom{{Name: "blau"}, {Name: "ré"}, {}}
	signal := func(p *player, node string) {
		p.Helper()
		p.take(saga.Signal{Node: node, Event: replayAgreed{By: "bo " + node}})
	}
	toTheChoice := func(p *player) {
		p.ok("ground/car", "ground/hotel/rooms[0]/book", "ground/hotel/rooms[1]/book", "ground/hotel/rooms[2]/book")
		for _, room := range []string{"[0]", "[1]", "[2]"} {
			signal(p, "ground/hotel/rooms"+room+"/check-in")
		}
		p.ok("ground/hotel/breakfast")
	}
	toApproval := func(p *player) { toTheChoice(p); p.ok("vip/then/lounge") }
	toSurvey := func(p *player) { toApproval(p); signal(p, "approval") }
	var all []replayScenario
	add := func(name string, vip bool, play func(*player)) {
		all = append(all, replayScenario{"stay-" + name, replayStayV2(), replayStay{VIP: vip, Rooms: rooms, By: "ana"}, play})
	}
	add("side-by-side", true, func(p *player) { p.ok("ground/hotel/rooms[0]/book") })
	add("checking-in", true, func(p *player) {
		p.ok("ground/car", "ground/hotel/rooms[0]/book")
		signal(p, "ground/hotel/rooms[1]/check-in")
	})
	add("halted", true, func(p *player) { p.ok("ground/hotel/rooms[0]/book"); p.no("no car", "ground/car") })
	add("tolerated", true, func(p *player) { p.ok("ground/hotel/rooms[0]/book"); p.no("full", "ground/hotel/rooms[1]/book") })
	add("not-tolerated", true, func(p *player) {
		p.ok("ground/hotel/rooms[0]/book")
		p.no("full", "ground/hotel/rooms[1]/book")
		p.no("full", "ground/hotel/rooms[2]/book")
	})
	add("then", true, toTheChoice)
	add("else", false, toTheChoice)
	add("asleep", false, func(p *player) { toTheChoice(p); p.ok("vip/else/mail") })
	add("early-signal", true, func(p *player) { signal(p, "approval") })
	add("waiting", true, toApproval)
	add("waited-in-vain", true, func(p *player) { toApproval(p); p.tick(time.Hour, "") })
	add("surveyed-in-vain", true, func(p *player) { toSurvey(p); p.tick(time.Minute, "") })
	add("cancelled", true, func(p *player) { toSurvey(p); p.act(saga.Cancel, "") })
	add("skipped", true, func(p *player) { toApproval(p); p.act(saga.Skip, "approval") })
	add("held", true, func(p *player) {
		toTheChoice(p)
		p.take(saga.Hold{Input: saga.Reply{Node: "vip/then/lounge", Direction: saga.DoDirection, Epoch: saga.AnyEpoch, Event: replayDone{}}})
		p.take(saga.Hold{Input: saga.Signal{Node: "approval", Event: replayAgreed{By: "bo"}}})
		p.take(saga.Hold{Input: saga.Signal{Node: "survey", Event: replayAgreed{By: "bo"}}})
	})
	add("edited", true, func(p *player) {
		p.take(saga.Act{ID: "edit-1", Action: saga.Edit, Data: `{"vip":false,"by":"eva"}`, By: "ana", Why: "she called"})
		p.take(saga.Act{ID: "edit-2", Action: saga.Edit, Node: "ground/hotel/rooms[1]", Data: `{"name":"rot"}`, By: "ana", Why: "taken"})
	})
	add("completed", true, func(p *player) { toSurvey(p); signal(p, "survey"); p.ok("pay", "ticket") })
	return sortedScenarios(all)
}
