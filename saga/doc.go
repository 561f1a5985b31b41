// Package saga decides what a long-lived business transaction does next. A saga is declared, as a [Definition] of typed
// steps; an instance of it is a [State]; and [Decide] is the pure function from a definition, a state and an [Input] to the next
// state and the effects: the messages to send and the story to log. The package imports the standard library only. It
// reads no clock and does no I/O; package coordinator does both for it.
//
// # A definition
//
//	var BookTrip = saga.MustDefine("book-trip",
//		saga.Step("flight",
//			saga.Do(func(t Trip) BookFlight { return BookFlight{Trip: t.ID, From: t.From, To: t.To} }),
//			saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
//			saga.OnFailure(func(t *Trip, e FlightRefused) { t.Why = e.Reason }),
//			saga.Undo(func(t Trip) CancelFlight { return CancelFlight{Trip: t.ID} }),
//		).Timeout(30*time.Second).Attempts(5),
//		saga.ForEach("rooms", func(t Trip) []Room { return t.Rooms },
//			saga.Step("room",
//				saga.Do(func(r Room) BookRoom { return BookRoom{Room: r.ID} }),
//				saga.On(func(r *Room, e RoomBooked) { r.Ref = e.Ref }),
//				saga.Undo(func(r Room) CancelRoom { return CancelRoom{Room: r.ID} })),
//		).AtMost(20),
//		saga.Step("pay",
//			saga.Do(func(t Trip) PayTrip { return PayTrip{Trip: t.ID} }),
//			saga.On(func(t *Trip, e TripPaid) { t.Receipt = e.Number }),
//		).Pivot(),
//	)
//
// Data, commands and events are plain structs; data is kept as JSON. The functions must be pure: the same data gives the
// same command. [Define] checks the definition and returns all its faults at once. What it returns is immutable, and
// an instance is pinned to its [Definition.Hash]: deploy a changed definition under the same name beside the old one
// until the old one's instances have ended. [Diff] tells, in a test, whether that is needed, or whether a change would break instances
// under way. Package sagatest runs a definition through crashes, losses and delays and finds what is wrong with it.
//
// # Step classes
//
// A compensable step, the default, has an [Undo] or says [StepNode.NothingToUndo]. The pivot is the step that
// decides: until it has succeeded the saga can go back, from then on only forward. Steps after it are retriable: they are tried
// until they succeed, then parked. A definition has at most one pivot. Without one it can go back until its last step has succeeded.
//
// An undo is acknowledged by a declared event ([Undone]), by any reply to it that comes on a topic of a declared event, by the step's own failure event
// ([StepNode.UndoneByFailure]), or by nothing ([StepNode.UndoUnacknowledged]), for participants that never answer one.
//
// # Shapes
//
// Nodes nest to any depth: [Step]; [Sequence], one after the other; [Parallel], side by side; [ForEach], a sequence for each item
// of a list; [If]; [Wait], for a [Signal] from outside, with a deadline; and [Sleep]. There are no sub-sagas: a part that
// several definitions share is a function that returns a [Sequence], and a saga that another one starts is started by an event.
//
// # Two ways to coordinate
//
// A definition is orchestrated: its coordinator sends every command. [Choreograph] makes of it what each service does
// in a choreography, in which every service sends its own commands on the events of the others, and what a watcher sees;
// [Reactions] lists it.
//
// # Rules
//
// Each is proved by tests with its name.
//
//   - R1: a step's command is sent when the steps before it succeeded. Its [MessageID] depends on the saga, the node's path, the
//     direction and the epoch only: what is sent again is the same message.
//   - R2: a failure event means that the command had no effect. A step that was never answered is unknown: it may have one.
//   - R3: the decision to abort is made once and kept. No forward command is first sent after it.
//   - R4: compensation covers exactly the steps that succeeded or are unknown and have an undo, each after those that came
//     later were acknowledged; items of a fan-out are undone side by side.
//   - R5: an unknown step is undone at once, and the participant's barrier settles the race with a late command. If its
//     undo needs data that only the reply brings ([StepNode.UndoNeedsReply]), the reply is waited for until the step's deadline,
//     then the instance is parked. A late reply is recorded and never moves the saga forward.
//   - R6: a compensation that fails is tried again with backoff; when its attempts are used up the instance is parked, with its
//     reason, until an operator retries, skips, cancels or forces. Each [Act] is idempotent, versioned and audited.
//   - R7: after the pivot nothing is compensated. A retriable step is tried again, then parked. A pivot that was
//     not answered is not guessed about: it is parked, and a late reply resolves it.
//   - R8: completed, compensated and forced never change. An instance whose definition is unknown is parked, not failed.
//   - R9: a fan-out, and a parallel, decides when nothing of its branches is in flight. After a failure no further item and no
//     further step of the other branches is started; only what succeeded or is unknown is undone. An item whose failure is
//     tolerated is undone on its own.
//   - R10: a start of an instance that exists changes nothing. An event may start one: [StartOn].
//   - R11: a reply belongs to the node, direction and epoch that it echoes or, where it echoes nothing, to the node whose [Matching] key
//     its payload has; which event it is tells success from failure, unless it says so itself.
//
// An epoch counts how often a command was deliberately issued anew because the participant had refused it for good.
// Sending again for want of an answer is another attempt of the same epoch.
//
// # The caller's duties
//
// In this order, for each input:
//
//  1. Load the instance: its header, its root record, and the item record that the input names.
//  2. Call [Decide]. If it returns a [*NeedError], load those records into the state and call again with the same input.
//  3. If the version did not change, nothing happened: acknowledge the input.
//  4. Commit in ONE transaction: the header, if the stored version is still the one that was loaded; the records of [Changed];
//     the [Log] and [Audit] effects; and the [Send] effects as rows of an outbox. If the version moved on, begin anew.
//  5. ONLY THEN publish what was sent, and acknowledge the input.
//
// Whatever is repeated after a crash at any point changes nothing the second time.
//
// The loop of step 2 ends, as every round names records that were not given:
//
//	for {
//		next, effects, err := saga.Decide(def, state, input, now)
//		if need, ok := errors.AsType[*saga.NeedError](err); ok {
//			load(&state, need.Keys) // "" is the root's data, all others are item records
//			continue
//		}
//		...
//	}
//
// The caller also keeps the time: each [Record] has a Wake, and at or after it wants a [Tick]. Records of instances that are terminal
// want none, whatever their Wake says.
//
// # Size
//
// A transition reads and writes the records of one item and of what contains it, however many items there are. What
// concerns all items (to create, start or compensate them) goes on in pages of 100, each a transition of its own.
//
// # Errors to handle
//
// [*NeedError]: load and call again. [ErrEarly]: give the input again later. [ErrUnknownDefinition] and [ErrData]: the instance cannot be decided with this program or
// data; call [ParkOrphan] and keep the input. [ErrUnexpectedReply] and [ErrNotFound]: the input is nobody's; it never gets better.
// [ErrConflict] and [ErrNotAllowed]: tell the operator. A function of the definition that panics is no error: it parks the
// instance at its node, and a retry calls it again.
//
// # Not guaranteed
//
// Isolation: others see what the steps did before the saga ends. Exactly-once effects need participants that
// recognise repeated commands and bar a command that comes after its undo, as package inbox does.
//
// # Concurrency
//
// Definitions are safe for concurrent use. States are plain values; Decide never modifies the one that it is given.
package saga
