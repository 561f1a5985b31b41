package sagatest_test

import (
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// The definitions that the tests explore. Their participants are the made-up ones unless a test says otherwise.

type (
	order struct {
		ID, Customer     string
		Lines            []line
		Gift             bool
		Hold, Label, Why string
		Approved         string
		Notes            map[string]string
	}
	line struct {
		SKU, Reservation, Why string
		Express               bool
	}

	checkCredit struct{ Customer string }
	creditGiven struct{ Limit int }
	noCredit    struct{ Reason string }

	holdMoney    struct{ Order string }
	moneyHeld    struct{ Hold string }
	noMoney      struct{ Reason string }
	releaseMoney struct{ Hold string }
	released     struct{ At time.Time }

	reserve     struct{ SKU string }
	reserved    struct{ Reservation string }
	outOfStock  struct{ Reason string }
	unreserve   struct{ SKU string }
	pickExpress struct{ SKU string }
	picked      struct{}
	unpick      struct{ SKU string }

	wrap    struct{ Order string }
	wrapped struct{}
	unwrap  struct{ Order string }

	approval struct{ By string }

	charge  struct{ Order, Hold string }
	charged struct{ Receipt string }
	refused struct{ Reason string }

	printLabel struct{ Order string }
	printed    struct{ Label string }
	ship       struct{ Order, Label string }
	shipped    struct{ At time.Time }
	jammed     struct{ Reason string }
)

func (e noCredit) FailureReason() string { return e.Reason }

// everyShape is a sound definition with every kind of node.
func everyShape() *saga.Definition[order] {
	return saga.MustDefine("order",
		saga.Parallel("prepare",
			saga.Step("credit",
				saga.Do(func(o order) checkCredit { return checkCredit{Customer: o.Customer} }),
				saga.On(func(*order, creditGiven) {}),
				saga.OnFailure(func(o *order, e noCredit) { o.Why = e.Reason }),
			).NothingToUndo().Attempts(2),
			saga.Step("money",
				saga.Do(func(o order) holdMoney { return holdMoney{Order: o.ID} }),
				saga.On(func(o *order, e moneyHeld) { o.Hold = e.Hold }),
				saga.OnFailure(func(*order, noMoney) {}),
				saga.Undo(func(o order) releaseMoney { return releaseMoney{Hold: o.Hold} }),
				saga.Undone(func(*order, released) {}),
			).UndoNeedsReply().Attempts(3),
			saga.Sequence("stock",
				saga.ForEach("lines", func(o order) []line { return o.Lines },
					saga.Step("reserve",
						saga.Do(func(l line) reserve { return reserve{SKU: l.SKU} }),
						saga.On(func(l *line, e reserved) { l.Reservation = e.Reservation }),
						saga.OnFailure(func(l *line, e outOfStock) { l.Why = e.Reason }),
						saga.Undo(func(l line) unreserve { return unreserve{SKU: l.SKU} }),
					).UndoneByFailure().Timeout(10*time.Second).Attempts(2),
					saga.If("express", func(l line) bool { return l.Express },
						saga.Step("pick",
							saga.Do(func(l line) pickExpress { return pickExpress{SKU: l.SKU} }),
							saga.On(func(*line, picked) {}),
							saga.OnFailure(func(*line, jammed) {}),
							saga.Undo(func(l line) unpick { return unpick{SKU: l.SKU} }),
						).Attempts(1),
						saga.Wait("packed", func(*line, picked) {}).Deadline(time.Minute).OnDeadline(func(l *line) { l.Why = "unpacked" }),
					),
				).AtMost(2).Tolerate(1),
			),
		),
		saga.Wait("approval", func(o *order, e approval) { o.Approved = e.By }).Deadline(24*time.Hour),
		saga.If("gift", func(o order) bool { return o.Gift },
			saga.Step("wrap",
				saga.Do(func(o order) wrap { return wrap{Order: o.ID} }),
				saga.On(func(*order, wrapped) {}),
				saga.Undo(func(o order) unwrap { return unwrap{Order: o.ID} }),
			).UndoUnacknowledged(),
		).Else(
			saga.Sleep("cool down", func(order) time.Duration { return time.Minute }),
		),
		saga.Step("charge",
			saga.Do(func(o order) charge { return charge{Order: o.ID, Hold: o.Hold} }),
			saga.On(func(*order, charged) {}),
			saga.OnFailure(func(o *order, e refused) { o.Why = e.Reason }),
		).Pivot().Attempts(2),
		saga.Parallel("deliver",
			saga.Sequence("parcel",
				saga.Step("label",
					saga.Do(func(o order) printLabel { return printLabel{Order: o.ID} }),
					saga.On(func(o *order, e printed) { o.Label = e.Label }),
					saga.OnFailure(func(*order, jammed) {}),
				).Retriable().Attempts(2),
				saga.Step("ship",
					saga.Do(func(o order) ship { return ship{Order: o.ID, Label: o.Label} }),
					saga.On(func(*order, shipped) {}),
				).Retriable(),
			),
			saga.Wait("signature", func(*order, approval) {}).Deadline(time.Hour),
		),
	)
}

type (
	trip struct {
		ID, Seat, Room, Why string
	}

	bookFlight   struct{ Trip string }
	flightBooked struct{ Seat string }
	flightFull   struct{ Reason string }
	cancelFlight struct{ Trip string }

	bookRoom   struct{ Trip string }
	roomBooked struct{ Room string }
	roomsTaken struct{ Reason string }
	cancelRoom struct{ Trip, Room string }

	payTrip  struct{ Trip string }
	tripPaid struct{}
	declined struct{ Reason string }

	sendTicket struct{ Trip, Seat, Room string }
	ticketSent struct{}
)

// flight, room, pay and ticket are the steps of a sound saga. Tests put others in their places.
func flight(parts ...saga.Part[trip]) *saga.StepNode[trip] {
	return saga.Step("flight", append([]saga.Part[trip]{
		saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
		saga.OnFailure(func(t *trip, e flightFull) { t.Why = e.Reason }),
		saga.Undo(func(t trip) cancelFlight { return cancelFlight{Trip: t.ID} }),
	}, parts...)...)
}

func seated() saga.Part[trip] { return saga.On(func(t *trip, e flightBooked) { t.Seat = e.Seat }) }

func room() *saga.StepNode[trip] {
	return saga.Step("room",
		saga.Do(func(t trip) bookRoom { return bookRoom{Trip: t.ID} }),
		saga.On(func(t *trip, e roomBooked) { t.Room = e.Room }),
		saga.OnFailure(func(t *trip, e roomsTaken) { t.Why = e.Reason }),
		saga.Undo(func(t trip) cancelRoom { return cancelRoom{Trip: t.ID, Room: t.Room} }),
	).UndoNeedsReply()
}

func pay() *saga.StepNode[trip] {
	return saga.Step("pay",
		saga.Do(func(t trip) payTrip { return payTrip{Trip: t.ID} }),
		saga.On(func(*trip, tripPaid) {}),
		saga.OnFailure(func(t *trip, e declined) { t.Why = e.Reason }),
	).Pivot()
}

func ticket() *saga.StepNode[trip] {
	return saga.Step("ticket",
		saga.Do(func(t trip) sendTicket { return sendTicket{Trip: t.ID, Seat: t.Seat, Room: t.Room} }),
		saga.On(func(*trip, ticketSent) {}),
	).Retriable()
}

// fourSteps is a sound definition of the usual size.
func fourSteps() *saga.Definition[trip] {
	return saga.MustDefine("trip", flight(seated()), room(), pay(), ticket())
}
