// Package picture draws sagas for people: a definition as a flowchart, an instance as the same flowchart with the state of every
// node, and an instance's log as a timeline.
//
//	fmt.Println(picture.Mermaid(def))           // what the saga is
//	fmt.Println(picture.Instance(def, state))   // where an instance stands
//	fmt.Print(picture.Timeline(lines))          // how it came there
//
// Flowcharts are text in the language of Mermaid, which many viewers of Markdown draw: put it into a code block marked
// "mermaid". The same arguments give the same text, byte for byte, so that a diagram can be kept as a file and compared. Names and reasons
// may hold any character: what means something to Mermaid is escaped.
//
// # How to read a flowchart
//
// A rectangle is a compensable step, with a dotted arrow to its undo. A hexagon is the pivot, a rectangle with double sides a
// retriable step. A slanted box is a wait, a rounded one a sleep, a diamond an If with its two ways. Between two
// trapezoids are the branches of a parallel, in a frame the nodes of a sequence or of a fan-out.
//
// The state of a node is in its colour and in words with a mark:
//
//   - … doing or waiting
//   - ✓ done
//   - ✗ refused or failed
//   - ? never answered
//   - ! stuck: it waits for an operator
//   - ↶ undoing, ↩ undone
//   - » skipped by an operator, or left as it is
//   - – a way that an If did not take
//
// The nodes in a fan-out's frame are those of each item and have no state; the frame has the counts, and those items whose
// records are loaded follow, up to ten, those that are stuck or failed first.
//
// # Concurrency
//
// All functions are pure and safe for concurrent use.
package picture
