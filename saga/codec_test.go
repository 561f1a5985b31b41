package saga_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

// sealed is a codec that encrypts. Its nonce is a hash of the text, so that the tests of Decide's purity hold; use a random one.
type sealed struct{ cipher.AEAD }

func newSealed() sealed {
	block, err := aes.NewCipher([]byte("a key of sixteen"))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return sealed{aead}
}

func (c sealed) Encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	nonce := sum[:c.NonceSize()]
	return c.Seal(nonce, nonce, text, nil), nil
}

func (c sealed) Decode(stored []byte, v any) error {
	if len(stored) < c.NonceSize() {
		return errors.New("not sealed")
	}
	text, err := c.Open(nil, stored[:c.NonceSize()], stored[c.NonceSize():], nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// broken is a codec that panics.
type broken struct{}

func (broken) Encode(any) ([]byte, error) { panic("no key") }
func (broken) Decode([]byte, any) error   { panic("no key") }

// A codec writes everything that comes from the outside: data, items' data to any depth, and signals that are kept.
func TestCodecWritesEverything(t *testing.T) {
	t.Parallel()
	root := items(2, "rooms")
	root.note("secret", "of the root")
	for i := range root.Items["rooms"] {
		root.Items["rooms"][i] = items(1, "beds")
		root.Items["rooms"][i].Items["beds"][0].note("secret", "of a bed")
	}
	plain := saga.MustDefine("trip", fan("rooms", fan("beds", wait("nod"), undoable("make")), wait("nod"), undoable("book")), bare("pay").Pivot())
	def := plain.WithCodec(newSealed())
	equal(t, "hash", def.Hash(), plain.Hash())
	d := &driver{t, newWorld(def)}
	unreadable := func() {
		t.Helper()
		for key, r := range d.records {
			text := string(r.Data) + asJSON(r.Nodes)
			for _, n := range r.Nodes {
				text += string(n.Signal)
			}
			for _, word := range []string{"secret", "ana", "ref-", "Refs"} {
				if strings.Contains(text, word) {
					t.Fatalf("%q of record %q can be read in %s", word, key, text)
				}
			}
		}
	}
	d.start(root)
	d.signal("rooms[0]/nod") // kept
	unreadable()
	d.want(d.signal("rooms[0]/beds[0]/nod"), "do rooms[0]/beds[0]/make")
	d.want(d.ok("rooms[0]/beds[0]/make"), "do rooms[0]/book")
	d.ok("rooms[0]/book")
	d.act(saga.Cancel, "")
	effects, err := d.apply(saga.Reply{Node: "rooms[0]/book", Direction: saga.UndoDirection, Outcome: saga.Success})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "undo", sendOf(t, effects).Command, any(undoIt{Step: "make", Ref: "ref-rooms[0]/beds[0]/make"}))
	d.undone("rooms[0]/beds[0]/make")
	d.is(saga.Compensated)
	unreadable()
	d.def = plain
	if _, err := saga.DataJSON(plain, d.records[""]); !errors.Is(err, saga.ErrData) {
		t.Errorf("sealed data read without the codec: %v", err)
	}
}

// DataJSON shows the data of any record whatever it is stored as.
func TestDataJSON(t *testing.T) {
	t.Parallel()
	for name, def := range map[string]saga.Any{
		"plain":  saga.MustDefine("trip", fan("rooms", fan("beds", undoable("make"))), bare("pay").Pivot()),
		"sealed": saga.MustDefine("trip", fan("rooms", fan("beds", undoable("make"))), bare("pay").Pivot()).WithCodec(newSealed()),
	} {
		d := &driver{t, newWorld(def)}
		root := items(1, "rooms")
		root.Items["rooms"][0] = items(1, "beds")
		d.start(root)
		d.ok("rooms[0]/beds[0]/make")
		for key, want := range map[string]string{
			"": `{"Items":{"rooms":[{"Items":{"beds":[{}]}}]}}`, "rooms[0]": `{"Items":{"beds":[{}]}}`, "rooms[0]/beds[0]": `{"Refs":{"make":"ref-rooms[0]/beds[0]/make"}}`,
		} {
			got, err := saga.DataJSON(def, d.records[key])
			if err != nil || string(got) != want {
				t.Errorf("%s: %q is %s, error %v", name, key, got, err)
			}
		}
		for _, key := range []string{"x", "pay[0]", "rooms[0]/x[0]", "rooms"} {
			if _, err := saga.DataJSON(def, saga.Record{Key: key}); !errors.Is(err, saga.ErrNotFound) {
				t.Errorf("%s: %q: %v", name, key, err)
			}
		}
		if _, err := saga.DataJSON(def, saga.Record{}); !errors.Is(err, saga.ErrData) {
			t.Errorf("%s: data that is not loaded: %v", name, err)
		}
	}
}

// A codec that fails, or panics, makes the data unusable and changes nothing.
func TestBrokenCodec(t *testing.T) {
	t.Parallel()
	plain := saga.MustDefine("trip", undoable("flight"), wait("nod"), fan("rooms", undoable("book")), bare("pay").Pivot())
	d := &driver{t, newWorld(plain.WithCodec(broken{}))}
	if err := d.fails(saga.Start{ID: "s1", Data: data{}}, saga.ErrData); !strings.Contains(err.Error(), "encoding panicked: no key") {
		t.Errorf("error %v", err)
	}
	d.def = plain
	d.start(items(1, "rooms"))
	d.signal("nod")
	d.def = plain.WithCodec(broken{})
	if err := d.fails(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}, saga.ErrData); !strings.Contains(err.Error(), "decoding panicked: no key") {
		t.Errorf("error %v", err)
	}
	if _, err := saga.DataJSON(d.def, d.records[""]); !errors.Is(err, saga.ErrData) {
		t.Errorf("error %v", err)
	}
	d.def = plain.WithCodec(newSealed()) // it takes the plain data for sealed
	d.fails(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}, saga.ErrData)
	d.def = plain
	r := d.records[""]
	r.Nodes = append([]saga.NodeState(nil), r.Nodes...)
	r.Nodes[2].Signal = []byte("no signal")
	d.records[""] = r
	if err := d.fails(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}, saga.ErrData); !strings.Contains(err.Error(), "nod: saga: unusable data: as *saga_test.nod") {
		t.Errorf("error %v", err)
	}
}

// Data that is larger than the definition allows is refused at the start, and reported of an instance under way.
func TestErrTooLarge(t *testing.T) {
	t.Parallel()
	large := data{}
	large.note("x", strings.Repeat("x", 100))
	inItem := items(1, "rooms")
	inItem.Items["rooms"][0] = large
	def := saga.MustDefine("trip", undoable("flight"), fan("rooms", undoable("book")), bare("pay").Pivot())
	tooLarge := func(d *driver, in saga.Input) {
		t.Helper()
		if err := d.fails(in, saga.ErrTooLarge); !errors.Is(err, saga.ErrData) || !strings.Contains(err.Error(), "or raise WithMaxData") {
			t.Errorf("error %v", err)
		}
	}
	d := &driver{t, newWorld(def.WithMaxData(80))}
	tooLarge(d, saga.Start{ID: "s1", Data: large})
	d.start(data{})
	tooLarge(d, saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{Ref: strings.Repeat("x", 80)}})
	d.ok("flight")

	d = &driver{t, newWorld(def)}
	d.start(inItem)
	d.def = def.WithMaxData(80)
	tooLarge(d, saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}) // the item is as large as the rest
	d.def = def
	d.want(d.ok("flight"), "do rooms[0]/book")

	exact := data{}
	exact.note("x", "y")
	size := len(asJSON(exact))
	d = &driver{t, newWorld(def.WithMaxData(size))}
	d.start(exact)
	d = &driver{t, newWorld(def.WithMaxData(size - 1))}
	tooLarge(d, saga.Start{ID: "s1", Data: exact})

	d = &driver{t, newWorld(def)}
	exact.note("x", strings.Repeat("y", saga.DefaultMaxData))
	tooLarge(d, saga.Start{ID: "s1", Data: exact})
}

// WithCodec and WithMaxData return another definition and leave the one they are given alone.
func TestDefinitionWithIsAnother(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trip", undoable("flight").Service("air"), fan("rooms", undoable("book")).Tolerate(1), bare("pay").Pivot(),
		saga.StartOn(func(done) (string, data) { return "k", data{} }))
	other := def.WithCodec(newSealed()).WithMaxData(50)
	equal(t, "description", other.Describe(), def.Describe())
	equal(t, "events", other.Events(), def.Events())
	d := &driver{t, newWorld(def)}
	large := data{}
	large.note("x", strings.Repeat("x", 50))
	d.start(large)
	if !bytes.HasPrefix(d.records[""].Data, []byte(`{"Refs"`)) {
		t.Errorf("the definition's codec has changed: %s", d.records[""].Data)
	}
	if _, ok, err := saga.StartedBy(other, done{}); !ok || err != nil {
		t.Errorf("it lost what it starts on: %t, %v", ok, err)
	}
}
