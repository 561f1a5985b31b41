package registration_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// Sagas with the original's own partner and tracking services, which are played by the messages that they sent on a real broker: without
// headers, key and type, tracking events with the id "None", failures with a fresh id. All else is ours.

// The two campaigns of the recorded messages.
const (
	test   = "7448ff5f-92b0-4436-bbd0-0650161a6eae" // with Alice Doe
	launch = "06247e6a-8261-4e40-9b40-9e5c271debe8" // with Benito Ñáñez and Carla
	alice  = "d56bbacf-b661-4891-afdb-07c556170678"
	benito = "b33b41b5-8538-42d8-b4ce-d4c27755591a"
	carla  = "5a5d7405-9f30-4f5e-b8cc-5f325647c0c7"
)

// recorded returns the payload of the one recorded message on the topic for which want holds.
func recorded[E any](t *testing.T, codec *wire.Codec, topic string, want func(E) bool) []byte {
	t.Helper()
	file, err := os.Open(filepath.FromSlash("../../testdata/wire/golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var found []byte
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct{ Topic, Schema, Hex string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Topic != topic || line.Schema != topic+".avsc" {
			continue
		}
		payload, err := hex.DecodeString(line.Hex)
		if err != nil {
			t.Fatal(err)
		}
		v, err := codec.Decode(messaging.Message{Topic: topic, Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := v.(E); ok && want(e) {
			if found != nil {
				t.Fatalf("two recorded messages fit: %+v", e)
			}
			found = payload
		}
	}
	if found == nil {
		t.Fatal("no recorded message fits")
	}
	return found
}

// tap is a broker that can give everything to its subscribers once more.
type tap struct {
	*memmsg.Broker

	mu        sync.Mutex
	receivers map[string]messaging.Receiver // by topic
	seen      []messaging.Message
}

// Subscribe implements [messaging.Subscriber].
func (p *tap) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	p.mu.Lock()
	p.receivers[s.Topic] = r
	p.mu.Unlock()
	return p.Broker.Subscribe(ctx, s, ready, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
		p.mu.Lock()
		p.seen = append(p.seen, batch...)
		p.mu.Unlock()
		return r(ctx, batch)
	})
}

// redeliver gives all messages again, each with the broker's id that it had.
func (p *tap) redeliver(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	seen := slices.Clone(p.seen)
	p.mu.Unlock()
	for _, m := range seen {
		m.Delivery++
		if d := p.receivers[m.Topic](t.Context(), []messaging.Message{m}); d[0].Redeliver {
			t.Errorf("a message on %s that was taken is asked for again", m.Topic)
		}
	}
}

// stage is a coordinator, a campaign service of ours, and the topics of the original's services.
type stage struct {
	*testing.T

	tap    *tap
	codec  *wire.Codec
	store  *memsaga.Store
	c      *coordinator.Coordinator
	fecha  time.Time
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	commands []any // to the original's services
}

// newStage is called in a bubble. The campaigns tell fecha, in milliseconds, as the time of their registration.
func newStage(t *testing.T, fecha int64) *stage {
	t.Helper()
	codec, err := wire.NewCodec(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	// Every message is given twice in any case.
	broker := memmsg.New(memmsg.Config{Fault: func(messaging.Message) memmsg.Fault { return memmsg.Fault{Duplicate: true} }})
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{
		T: t, tap: &tap{Broker: broker, receivers: map[string]messaging.Receiver{}}, codec: codec, store: memsaga.New(),
		fecha: time.UnixMilli(fecha).UTC(), cancel: cancel,
	}
	var listening sync.WaitGroup
	for _, topic := range []string{
		wire.TopicRegisterCampaign, wire.TopicApproveCampaign, wire.TopicCancelCampaign,
		wire.TopicRegisterPartner, wire.TopicCancelPartner, wire.TopicRegisterEvent, wire.TopicCancelEvent,
	} {
		listening.Add(1)
		s.ended.Go(func() {
			_ = broker.Subscribe(ctx, messaging.Subscription{Topic: topic, Name: "participant"}, listening.Done, s.participant)
		})
	}
	listening.Wait() // a topic without a subscription forgets
	s.c, err = coordinator.New(coordinator.Config{
		Store: s.store, Bus: messaging.Bus{Broker: s.tap, Codec: codec}, Definitions: []saga.Any{registration.Define()},
		Logger: slog.New(slog.DiscardHandler),
		DeadLetters: messaging.DeadLetterFunc(func(_ context.Context, l messaging.DeadLetter) error {
			t.Errorf("dead letter on %s: %s", l.Message.Topic, l.Reason)
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ended.Go(func() {
		if err := s.c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	<-s.c.Ready()
	return s
}

func (s *stage) close() {
	s.cancel()
	s.ended.Wait()
	_ = s.tap.Close()
}

// participant is the campaign service, which answers at once, and for the others a book of what they are told.
func (s *stage) participant(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
	for _, m := range batch {
		command, err := s.codec.Decode(m)
		if err != nil {
			s.Error(err)
			continue
		}
		var event any
		switch c := command.(type) {
		case campaign.Register:
			event = campaign.Registered{ID: c.ID, Name: c.Name, Budget: c.Budget, Currency: c.Currency, BrandID: c.BrandID, Participants: c.Participants, At: s.fecha}
		case campaign.Approve:
			event = campaign.Approved(c)
		case campaign.Cancel:
			event = campaign.RegistrationFailed{ID: c.ID}
		default:
			s.mu.Lock()
			if !slices.Contains(s.commands, command) { // each comes twice
				s.commands = append(s.commands, command)
			}
			s.mu.Unlock()
			continue
		}
		reply, err := s.codec.Encode(event)
		if err != nil {
			s.Error(err)
			continue
		}
		correlation, _ := messaging.CorrelationOf(m)
		reply.ID = m.ID + "/reply"
		reply = correlation.Stamp(reply).WithHeader(messaging.HeaderOutcome, string(messaging.Success))
		s.tap.Publish(ctx, reply, func(error) {})
	}
	return make([]messaging.Disposition, len(batch))
}

// told waits until everything has come to rest and wants the original's services to have been told that, in any order, since the last call.
// Then it gives all messages once more, which must change nothing.
func (s *stage) told(want ...any) {
	s.Helper()
	s.settle()
	before := s.versions()
	s.tap.redeliver(s.T)
	s.settle()
	if after := s.versions(); !reflect.DeepEqual(after, before) {
		s.Errorf("redelivered messages changed something: %v became %v", before, after)
	}
	s.mu.Lock()
	got := s.commands
	s.commands = nil
	s.mu.Unlock()
	for i, c := range got { // ids that we assign, and times, are not the point here
		switch c := c.(type) {
		case partner.Register:
			c.ID, c.Type, c.Profile = "", "", ""
			got[i] = c
		case tracking.Register:
			c.ID = ""
			got[i] = c
		}
	}
	missing := slices.DeleteFunc(slices.Clone(want), func(c any) bool { return slices.Contains(got, c) })
	if len(missing) > 0 || len(got) != len(want) {
		s.Fatalf("told %+v\nwant %+v", got, want)
	}
}

// settle waits until nothing moves, but for time-outs.
func (s *stage) settle() {
	synctest.Wait()
	<-time.After(time.Second) // of the bubble's clock: the outbox lingers before it deletes
	synctest.Wait()
}

func (s *stage) versions() map[string]int64 {
	s.Helper()
	list, _, err := s.store.List(context.Background(), coordinator.ListQuery{})
	if err != nil {
		s.Fatal(err)
	}
	versions := map[string]int64{}
	for _, state := range list {
		versions[string(state.Status)+" "+string(state.ID)] = state.Version
	}
	return versions
}

// start begins the registration of a recorded command.
func (s *stage) start(id, name string) saga.ID {
	s.Helper()
	m := messaging.Message{Topic: wire.TopicRegisterCampaign, Payload: recorded(s.T, s.codec, wire.TopicRegisterCampaign,
		func(c campaign.Register) bool { return c.Name == name })}
	v, err := s.codec.Decode(m)
	if err != nil {
		s.Fatal(err)
	}
	command, _ := v.(campaign.Register)
	command.ID = id
	started, err := coordinator.Start(s.Context(), s.c, registration.Define(),
		registration.Registration{Campaign: command, OccurredAt: time.UnixMilli(1).UTC()}, coordinator.Key(id))
	if err != nil {
		s.Fatal(err)
	}
	return started
}

// send publishes a payload as the original does.
func (s *stage) send(topic string, payload []byte) {
	s.Helper()
	s.tap.Publish(s.Context(), messaging.Message{Topic: topic, Payload: payload}, func(error) {})
}

func (s *stage) partnerRegistered(campaignID, name string) {
	s.Helper()
	s.send(wire.TopicPartnerEvents, recorded(s.T, s.codec, wire.TopicPartnerEvents,
		func(e partner.Registered) bool { return e.CampaignID == campaignID && e.Name == name }))
}

func (s *stage) eventRegistered(partnerID string) {
	s.Helper()
	s.send(wire.TopicTrackingEvents, recorded(s.T, s.codec, wire.TopicTrackingEvents,
		func(e tracking.Registered) bool { return e.PartnerID == partnerID }))
}

// partnerFailed sends the one recorded failure, Carla's, or the same of another.
func (s *stage) partnerFailed(campaignID, name, freshID string) {
	s.Helper()
	payload := recorded(s.T, s.codec, wire.TopicPartnerEvents, func(partner.RegistrationFailed) bool { return true })
	if name != "Carla" || campaignID != launch {
		record, err := s.codec.DecodeRecord(messaging.Message{Topic: wire.TopicPartnerEvents, Payload: payload})
		if err != nil {
			s.Fatal(err)
		}
		event, _ := record.(wire.EventoPartner)
		event.ID, event.PartnerFallido.ID, event.PartnerFallido.IDCampaign, event.PartnerFallido.Nombre = &freshID, &freshID, &campaignID, &name
		m, err := s.codec.EncodeRecord(event) // by the original's own schema
		if err != nil {
			s.Fatal(err)
		}
		payload = m.Payload
	}
	s.send(wire.TopicPartnerEvents, payload)
}

// eventFailed sends the one recorded failure: of Benito's event.
func (s *stage) eventFailed() {
	s.Helper()
	s.send(wire.TopicTrackingEvents, recorded(s.T, s.codec, wire.TopicTrackingEvents, func(tracking.RegistrationFailed) bool { return true }))
}

// ends wants the saga to have come to that end, and returns its items.
func (s *stage) ends(id saga.ID, want saga.Status) (items []registration.Item) {
	s.Helper()
	s.told()
	state, err := s.store.Get(context.Background(), id)
	if err != nil {
		s.Fatal(err)
	}
	if state.Status != want {
		s.Errorf("it is %s (%s), want %s", state.Status, state.Reason, want)
	}
	records, err := s.store.Items(context.Background(), id, 0, 10)
	if err != nil {
		s.Fatal(err)
	}
	for _, r := range records {
		var item registration.Item
		if err := json.Unmarshal(r.Data, &item); err != nil {
			s.Fatal(err)
		}
		items = append(items, item)
	}
	return items
}

func (s *stage) registerPartner(campaignID, name string) partner.Register {
	return partner.Register{CampaignID: campaignID, Name: name}
}

func (s *stage) registerEvent(partnerID, campaignID string) tracking.Register {
	return tracking.Register{PartnerID: partnerID, CampaignID: campaignID, OccurredAt: s.fecha}
}

// Everything succeeds. What others did by hand, before, meanwhile and after, touches nothing.
func TestWithTheOriginalsServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1795495941735)
		defer s.close()
		byHand := func() {
			s.partnerRegistered("123213312", "Test")
			s.partnerFailed("123213312", "Test", "5d1b9a9e-0000-4000-8000-000000000001")
			s.partnerFailed(test, "Somebody else", "5d1b9a9e-0000-4000-8000-000000000002")
			s.eventRegistered("1huhaskjhasd")
			s.eventFailed()
		}
		byHand()
		id := s.start(test, "Test")
		s.told(s.registerPartner(test, "Alice Doe"))
		byHand()
		s.partnerRegistered(test, "Alice Doe")
		s.told(s.registerEvent(alice, test)) // the id that the original's service gave her
		byHand()
		s.partnerFailed(test, "Alice Doe", "5d1b9a9e-0000-4000-8000-000000000003") // cancelled by hand, while her event is awaited
		s.told()
		s.eventRegistered(alice)
		items := s.ends(id, saga.Completed)
		if len(items) != 1 || items[0].PartnerID != alice || items[0].EventID == "" || !items[0].OccurredAt.Equal(s.fecha) {
			t.Errorf("%+v", items)
		}
		before := s.versions()
		byHand()
		s.partnerRegistered(test, "Alice Doe")
		s.partnerFailed(test, "Alice Doe", "5d1b9a9e-0000-4000-8000-000000000004")
		s.eventRegistered(alice)
		s.ends(id, saga.Completed)
		if after := s.versions(); !reflect.DeepEqual(after, before) {
			t.Errorf("a finished saga changed: %v became %v", before, after)
		}
	})
}

// The event's registration fails: the partners and the campaign are undone, and a partner's failure, with its fresh id, says so.
func TestWithTheOriginalsServicesAnEventFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1795495980583)
		defer s.close()
		other := s.start(test, "Test") // another saga at once, which is not to be touched
		id := s.start(launch, "Lanzamiento otoño")
		s.told(s.registerPartner(test, "Alice Doe"), s.registerPartner(launch, "Benito Ñáñez"), s.registerPartner(launch, "Carla"))
		s.partnerRegistered(launch, "Benito Ñáñez")
		s.told(s.registerEvent(benito, launch))
		s.eventFailed()
		s.told()
		s.partnerRegistered(launch, "Carla") // she was under way: her event is not begun any more
		s.told(partner.Cancel{ID: benito}, partner.Cancel{ID: carla})
		s.partnerFailed(launch, "Carla", "") // its bytes, with the fresh id that it was recorded with
		s.told()
		s.partnerFailed(launch, "Benito Ñáñez", "5d1b9a9e-0000-4000-8000-000000000005")
		s.ends(id, saga.Compensated)
		if s.versions()["running "+string(other)] == 0 {
			t.Errorf("the other saga was touched: %v", s.versions())
		}
	})
}

// Two events of one campaign at one time are told apart by the partner, whichever is answered first.
func TestWithTheOriginalsServicesTwoEventsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1795495980583)
		defer s.close()
		id := s.start(launch, "Lanzamiento otoño")
		s.told(s.registerPartner(launch, "Benito Ñáñez"), s.registerPartner(launch, "Carla"))
		s.partnerRegistered(launch, "Benito Ñáñez")
		s.partnerRegistered(launch, "Carla")
		s.told(s.registerEvent(benito, launch), s.registerEvent(carla, launch))
		s.eventRegistered(carla)
		s.told()
		s.eventFailed()
		s.settle()
		lines, err := s.store.History(context.Background(), id, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		what := map[string]saga.LogKind{}
		for _, l := range lines {
			if l.Kind == saga.LogSucceeded || l.Kind == saga.LogRefused {
				what[l.Node] = l.Kind
			}
		}
		if what["participants[1]/conversion"] != saga.LogSucceeded || what["participants[0]/conversion"] != saga.LogRefused {
			t.Errorf("%v", what)
		}
	})
}

// The partner's registration is refused. An event that the original registered cannot be undone, as its id is never told, and nothing
// answers its cancelling: the saga is parked until an operator, who has looked after it, goes on.
func TestWithTheOriginalsServicesAPartnerIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1795495980535)
		defer s.close()
		id := s.start(launch, "Lanzamiento otoño")
		s.told(s.registerPartner(launch, "Benito Ñáñez"), s.registerPartner(launch, "Carla"))
		s.partnerRegistered(launch, "Benito Ñáñez")
		s.told(s.registerEvent(benito, launch))
		s.partnerFailed(launch, "Carla", "") // refused: she has no partner to undo
		s.told()
		s.eventRegistered(benito)
		s.settle()
		state, err := s.c.Await(t.Context(), id)
		if err != nil || state.Status != saga.Parked || state.Stuck != 1 {
			t.Fatalf("%s (%s), %v", state.Status, state.Reason, err)
		}
		s.mu.Lock()
		s.commands = nil // the undo of the event, as often as it may be sent
		s.mu.Unlock()
		const node = "participants[0]/conversion"
		if _, err := s.c.Act(t.Context(), id, saga.Act{ID: "a1", Action: saga.Skip, Node: node, By: "ana", Why: "cancelled by hand"}); err != nil {
			t.Fatal(err)
		}
		s.told(partner.Cancel{ID: benito})
		s.partnerFailed(launch, "Benito Ñáñez", "5d1b9a9e-0000-4000-8000-000000000006")
		s.ends(id, saga.Compensated)
	})
}
