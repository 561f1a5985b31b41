package saga_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

// order is data that checks itself.
type order struct {
	Amount int
	Lines  []line `json:",omitempty"`
}

type line struct{ Ref string }

func (o *order) Validate() error {
	if o.Amount < 0 {
		return errors.New("the amount is negative")
	}
	if o.Amount == 666 {
		panic("not that one")
	}
	return nil
}

// selling parks at pay, whose command cannot be made of an order without an amount.
func selling() *saga.Definition[order] {
	return saga.MustDefine("sell",
		saga.ForEach("lines", func(o order) []line { return o.Lines },
			saga.Step("reserve",
				saga.Do(func(l line) doIt { return doIt{Step: l.Ref} }),
				saga.On(func(l *line, e done) { l.Ref = e.Ref }),
				saga.Undo(func(l line) undoIt { return undoIt{Ref: l.Ref} }))),
		saga.Step("pay",
			saga.Do(func(o order) doIt {
				if o.Amount == 0 {
					panic("no amount")
				}
				return doIt{}
			}),
			saga.On(func(*order, done) {}),
			saga.OnFailure(func(*order, refused) {})).Pivot())
}

func sell(t *testing.T, def saga.Any) *driver {
	t.Helper()
	d := &driver{t, newWorld(def)}
	d.want(d.do(saga.Start{ID: "s1", Data: order{Lines: []line{{"a"}, {"b"}}}}), "do lines[0]/reserve, do lines[1]/reserve")
	return d
}

func editing(node, text string) saga.Act {
	return saga.Act{ID: "e1", Action: saga.Edit, Node: node, Data: text, By: "ana", Why: "a wrong amount"}
}

// R6: an edit replaces the data, the instance's or an item's, and its audit tells both in the form in which they are stored.
func TestR6EditReplacesTheData(t *testing.T) {
	t.Parallel()
	d := sell(t, selling())
	d.ok("lines[0]/reserve")
	d.ok("lines[1]/reserve")
	d.is(saga.Parked)
	edit := editing("", ` {"Amount": 7} `)
	edit.Version = d.header.Version
	effects, err := d.apply(edit)
	if err != nil {
		t.Fatal(err)
	}
	audited := edit
	audited.Data = ""
	equal(t, "effects", effects, []saga.Effect{
		saga.Audit{Act: audited, Before: `{"Amount":0,"Lines":[{"Ref":"a"},{"Ref":"b"}]}`, After: `{"Amount":7}`},
		saga.Log{Kind: saga.LogOperator, Detail: "edit by ana: a wrong amount"},
	})
	d.is(saga.Parked)                                              // an edit moves nothing by itself
	d.same(edit)                                                   // applied once, although its version is past
	d.fails(editing("", `{"Amount": 8}`), saga.ErrConflict)        // other data under the same id
	d.fails(editing("lines[0]", `{"Ref": "x"}`), saga.ErrConflict) // the id was that of another
	d.want(d.act(saga.Retry, ""), "do pay")
	d.is(saga.Running)

	item := editing("lines[1]", `{"Ref":"edited"}`)
	item.ID = "e2"
	effects, err = d.apply(item)
	if err != nil {
		t.Fatal(err)
	}
	item.Data = ""
	equal(t, "audit", effects[0], saga.Effect(saga.Audit{Act: item, Before: `{"Ref":"ref-lines[1]/reserve"}`, After: `{"Ref":"edited"}`}))
	effects, err = d.apply(refusal("pay", 0))
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, e := range effects {
		if s, ok := e.(saga.Send); ok {
			refs = append(refs, s.Command.(undoIt).Ref)
		}
	}
	equal(t, "undos", refs, []string{"ref-lines[0]/reserve", "edited"})
}

// R6: what is no data of the definition's type, or does not validate, is refused with a text that says so, and nothing changes.
func TestR6EditIsHeldToTheType(t *testing.T) {
	t.Parallel()
	d := sell(t, selling().WithMaxData(100))
	version := d.header.Version
	for _, test := range []struct {
		node, data string
		sentinel   error
		text       string
	}{
		{"", ``, saga.ErrNotAllowed, "data as saga_test.order: EOF"},
		{"", `{`, saga.ErrNotAllowed, "unexpected EOF"},
		{"", `{"Amount": "7"}`, saga.ErrNotAllowed, "cannot unmarshal string"},
		{"", `{"Amonut": 7}`, saga.ErrNotAllowed, `unknown field "Amonut"`},
		{"", `{"Amount": 7} {}`, saga.ErrNotAllowed, "there is more after the first value"},
		{"", `{"Amount": 7},`, saga.ErrNotAllowed, "there is more after the first value"},
		{"", `{"Amount": 7}]`, saga.ErrNotAllowed, "there is more after the first value"},
		{"", `[]`, saga.ErrNotAllowed, "cannot unmarshal array"},
		{"", `null`, saga.ErrNotAllowed, "null is no value"},
		{"", `{"Amount": -1}`, saga.ErrNotAllowed, "data as saga_test.order: the amount is negative"},
		{"", `{"Amount": 666}`, saga.ErrNotAllowed, "data as saga_test.order: Validate panicked: not that one"},
		{"", `{"Amount": 1, "Lines": [{"Ref": "` + strings.Repeat("x", 100) + `"}]}`, saga.ErrTooLarge, "at most 100"},
		{"lines[1]", `{"Amount": 7}`, saga.ErrNotAllowed, `data as saga_test.line: json: unknown field "Amount"`},
		{"lines[2]", `{"Ref": "x"}`, saga.ErrNotFound, `no item "lines[2]"`},
		{"lines", `{}`, saga.ErrNotFound, `record "lines"`},
		{"pay", `{}`, saga.ErrNotFound, `record "pay"`},
		{"lines[0]/reserve", `{}`, saga.ErrNotFound, `record "lines[0]/reserve"`},
	} {
		err := d.fails(editing(test.node, test.data), test.sentinel)
		if !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s %s: error %q does not say %q", test.node, test.data, err, test.text)
		}
		if test.sentinel != saga.ErrNotFound && !errors.Is(err, saga.ErrNotAllowed) { //nolint:errorlint // the table's own value
			t.Errorf("%v is no ErrNotAllowed", err)
		}
	}
	stale := editing("", `{"Amount": 7}`)
	stale.Version = version + 1
	d.fails(stale, saga.ErrConflict)
	equal(t, "actions", len(d.header.Actions), 0)
}

// R6: an edit makes data readable again that was not; the instance, an orphan until then, goes on.
func TestR6EditMendsUnusableData(t *testing.T) {
	t.Parallel()
	d := sell(t, selling())
	r := d.records["lines[0]"]
	r.Data = []byte{0xff}
	d.records["lines[0]"] = r
	reply := saga.Reply{Node: "lines[0]/reserve", Direction: saga.DoDirection, Event: done{Ref: "A"}}
	d.fails(reply, saga.ErrData)
	d.header, _ = saga.ParkOrphan(d.header, "unusable data", d.now)
	effects, err := d.apply(editing("lines[0]", `{"Ref":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "before, as base64", effects[0].(saga.Audit).Before, "/w==")
	d.is(saga.Running)
	d.do(reply)
	d.phase("lines[0]/reserve", saga.PhaseDone)
}

// R6: with an encrypting codec the audit holds what is stored, and nothing that can be read.
func TestR6EditOfSealedData(t *testing.T) {
	t.Parallel()
	codec := newSealed()
	d := sell(t, selling().WithCodec(codec))
	before := d.records[""].Data
	effects, err := d.apply(editing("", `{"Amount": 4711}`))
	if err != nil {
		t.Fatal(err)
	}
	audit := effects[0].(saga.Audit)
	equal(t, "before", audit.Before, base64.StdEncoding.EncodeToString(before))
	equal(t, "after", audit.After, base64.StdEncoding.EncodeToString(d.records[""].Data))
	if strings.Contains(asJSON(tagged(effects)), "4711") {
		t.Errorf("the data can be read in %v", effects)
	}
	got, err := saga.DataJSON(d.def, d.records[""])
	if err != nil || string(got) != `{"Amount":4711}` {
		t.Errorf("data %s, error %v", got, err)
	}
}

// R8: nothing is edited at the end.
func TestR8NoEditAtTheEnd(t *testing.T) {
	t.Parallel()
	d := sell(t, selling())
	d.act(saga.Force, "")
	d.fails(editing("", `{"Amount": 7}`), saga.ErrNotAllowed)
}
