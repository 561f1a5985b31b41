//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// mixed is a system of which some services are the original's.
type mixed struct {
	*fleet
	*original

	ctx       context.Context // it is the test's
	originals []string
	clients   *crowd
	known     map[string]bool // sagas
}

func (m *mixed) isOriginal(service string) bool { return slices.Contains(m.originals, service) }

// newMixed starts the services. Before any of ours runs, others have published: by hand, and about campaigns of theirs.
func newMixed(t *testing.T, coordination string, originals ...string) *mixed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	f := fleetOf(t, setup{coordination, "sqlite"})
	m := &mixed{fleet: f, original: newOriginal(t, f.broker), ctx: ctx, originals: originals, known: map[string]bool{}}
	m.clients = newCrowd(1, rand.New(rand.NewPCG(0, 0)))
	if m.isOriginal("partner") {
		m.partner()
	}
	if m.isOriginal("tracking") {
		m.tracking()
	}
	m.registrarPartner("123213312", "Test")
	m.registrarEvento("1huhaskjhasd", "213uhuihaujjjkjj")
	m.byHand()
	for service := range originalPorts() {
		if !m.isOriginal(service) {
			m.start(service)
		}
	}
	return m
}

// byHand tells events that no saga of ours has asked for.
func (m *mixed) byHand() {
	m.partnerFallido(wire.RegistrarPartner{IDCampaign: ref("123213312"), Nombre: ref("Ana"), InformacionPerfil: ref("")})
	m.send(wire.TopicPartnerEvents, wire.EventoPartner{
		Envelope:          m.event("x", "partner_registrado"),
		PartnerRegistrado: &wire.PartnerRegistrado{ID: ref("x"), IDCampaign: ref("123213312"), Nombre: ref("Ana"), Tipo: ref("influencer"), InformacionPerfil: ref("")},
		PartnerFallido:    &wire.RegistroPartnerFallido{},
	})
	m.send(wire.TopicTrackingEvents, wire.EventoTraking{
		Envelope:         m.event("None", "evento_registrado"),
		EventoRegistrado: &wire.EventoRegistrado{ID: ref("None"), IDPartner: ref("x"), IDCampana: ref("123213312"), Fecha: ref(int64(1))},
		EventoFallido:    &wire.RegistroEventoFallido{},
	})
}

// saga is what the coordinator tells of one.
type sagaView struct {
	ID, Key, State, Reason string
	Version                int
}

func (m *mixed) saga(id string) (s sagaView) {
	m.fleet.t.Helper()
	_, body := get(m.fleet.t, m.url("campaign")+"/v1/sagas/"+id)
	_ = json.Unmarshal([]byte(body), &s) // there may be none yet
	return s
}

// sagas returns all of them.
func (m *mixed) sagas() (all []sagaView) {
	m.fleet.t.Helper()
	var page struct{ Items []sagaView }
	status, body := get(m.fleet.t, m.url("campaign")+"/v1/sagas?limit=100")
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
		m.fleet.t.Fatalf("%d, %v: %s", status, err, body)
	}
	return page.Items
}

// register orders a campaign by way of the bff that there is, and returns its saga's id.
func (m *mixed) register(participants ...string) (id string) {
	m.fleet.t.Helper()
	if m.isOriginal("bff") {
		m.registrarCampaign("launch", participants...)
		m.until(m.ctx, "that the saga began", func() bool {
			for _, s := range m.sagas() {
				if !m.known[s.ID] {
					id = s.ID
				}
			}
			return id != ""
		})
	} else {
		path, body := requestOf(&order{name: "launch", participants: participants}, "")
		var err error
		if id, err = m.clients.post(m.ctx, m.url("bff")+path, body); err != nil {
			m.fleet.t.Fatalf("%v\n%s", err, m.logs())
		}
	}
	m.known[id] = true
	return id
}

// ends waits for the saga's end and looks at what there is of its campaign.
func (m *mixed) ends(id, want string, partners, events int) (key string) {
	m.fleet.t.Helper()
	m.until(m.ctx, "that the saga is "+want, func() bool { return resting(m.saga(id).State) })
	s := m.saga(id)
	if s.State != want {
		m.fleet.t.Errorf("the saga is %s (%s), must be %s\n%s", s.State, s.Reason, want, m.logs())
	}
	if gotPartners, gotEvents := m.left(s.Key); gotPartners != partners || gotEvents != events {
		m.fleet.t.Errorf("%s: there are %d partners and %d events, must be %d and %d", want, gotPartners, gotEvents, partners, events)
	}
	_, body := get(m.fleet.t, m.url("campaign")+"/campaigns/"+s.Key)
	if exists := strings.Contains(body, `"nombre":"launch"`); exists != (want == "completed") {
		m.fleet.t.Errorf("%s: the campaign is %s", want, body)
	}
	return s.Key
}

// left counts the partners and events of a campaign, as the original's bff would ask for them.
func (m *mixed) left(campaign string) (partners, events int) {
	m.fleet.t.Helper()
	partners, events = m.kept(campaign)
	for service, list := range map[string]struct {
		path, field string
		n           *int
	}{"partner": {"/partners", "id_campaign", &partners}, "tracking": {"/eventos", "id_campana", &events}} {
		if !m.isOriginal(service) {
			_, body := get(m.fleet.t, m.url(service)+list.path)
			*list.n = strings.Count(body, fmt.Sprintf("%q:%q", list.field, campaign))
		}
	}
	return partners, events
}

// TestIntegrationOriginals has services of the original take part, one of them or several, while the rest is ours: a registration succeeds, and
// others are undone because an event or a partner is refused. What is done by hand touches no saga.
func TestIntegrationOriginals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		coordination string
		originals    []string
	}{
		{"orchestrated", []string{"bff"}}, {"choreographed", []string{"bff"}}, // the other two take no part in a choreography
		{"orchestrated", []string{"partner"}},
		{"orchestrated", []string{"tracking"}},
		{"orchestrated", []string{"bff", "partner", "tracking"}},
	} {
		t.Run(c.coordination+" with "+strings.Join(c.originals, " and "), func(t *testing.T) {
			m := newMixed(t, c.coordination, c.originals...)

			done := m.register("Ana", "Benito")
			m.byHand()
			key := m.ends(done, "completed", 2, 2)
			before := m.saga(done)

			// An event that the original registered cannot be undone: there, no other comes so far.
			participants := []string{"Ana", "p 1", "p 2", "p 3", "p 4"}
			if m.isOriginal("tracking") {
				m.refuseEvents(true)
				participants = participants[:2]
			}
			m.ends(m.register(participants...), "compensated", 0, 0)
			m.refuseEvents(false)

			participants = []string{"Ana", blocked}
			if m.isOriginal("tracking") {
				participants = participants[1:]
			}
			m.ends(m.register(participants...), "compensated", 0, 0)

			// By hand, on what the finished saga has made, and on what nobody knows.
			m.byHand()
			m.cancelPartners(key)
			m.eliminarEvento("nobody's")
			if !m.isOriginal("partner") {
				m.eliminarPartner("nobody's")
			}
			m.until(m.ctx, "that the partners are cancelled", func() bool {
				partners, _ := m.left(key)
				return partners == 0
			})
			m.eliminarCampaign(key)
			m.until(m.ctx, "that the campaign is cancelled", func() bool {
				_, body := get(t, m.url("campaign")+"/campaigns/"+key)
				return strings.Contains(body, "No existe")
			})
			if after := m.saga(done); after != before {
				t.Errorf("a finished saga changed: %+v became %+v", before, after)
			}
			if n := len(m.sagas()); n != 3 {
				t.Errorf("there are %d sagas", n)
			}
			if partners, _ := m.left("123213312"); partners != 1 {
				t.Errorf("%d partners of what was registered before ours ran", partners)
			}
			if _, events := m.left("213uhuihaujjjkjj"); events != 1 {
				t.Errorf("%d events of what was registered before ours ran", events)
			}
			m.stop()
			m.nothingIsDead()
		})
	}
}

// cancelPartners cancels the campaign's partners by hand.
func (m *mixed) cancelPartners(campaign string) {
	m.fleet.t.Helper()
	var ids []string
	if m.isOriginal("partner") {
		m.mu.Lock()
		for id, p := range m.partners {
			if *p.IDCampaign == campaign {
				ids = append(ids, id)
			}
		}
		m.mu.Unlock()
	} else {
		var all []map[string]string
		_, body := get(m.fleet.t, m.url("partner")+"/partners")
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			m.fleet.t.Fatal(err)
		}
		for _, p := range all {
			if p["id_campaign"] == campaign {
				ids = append(ids, p["id"])
			}
		}
	}
	if len(ids) == 0 {
		m.fleet.t.Error("there are no partners to cancel")
	}
	for _, id := range ids {
		m.eliminarPartner(id)
	}
}

// nothingIsDead looks for dead letters, and messages that were not published.
func (m *mixed) nothingIsDead() {
	m.fleet.t.Helper()
	for _, service := range services() {
		if m.isOriginal(service) {
			continue
		}
		db := m.book(service)
		for _, table := range []string{"dead_letters", "outbox"} {
			if n := countOf(m.fleet.t.Context(), db, "SELECT COUNT(*) FROM "+table); n != 0 {
				m.fleet.t.Errorf("%s: %d rows in %s\n%s", service, n, table, m.logs())
			}
		}
	}
}

// TestIntegrationOriginalPartnerIsReplaced stops the original's consumer as it stops by itself: with the cancelling of a partner that does not
// exist, which stops the next one too. Ours takes its place, and the saga that waited goes on.
func TestIntegrationOriginalPartnerIsReplaced(t *testing.T) {
	t.Parallel()
	m := newMixed(t, "orchestrated", "partner")
	stopped := func(n int) func() bool {
		return func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.stopped == n
		}
	}
	if status, body := get(t, m.url("bff")+"/eliminar-partner/nobody's"); status != http.StatusOK {
		t.Fatalf("%d: %s", status, body)
	}
	m.until(m.ctx, "that the consumer stops", stopped(1))
	id := m.register("p 0", "p 1", "p 2", "p 3", "p 4") // the last event is refused
	m.until(m.ctx, "that the partners are to be undone", func() bool {
		_, body := get(t, m.url("campaign")+"/v1/sagas/"+id)
		return strings.Contains(body, "partner") && m.saga(id).State == "compensating"
	})
	m.consumePartnerCancellations() // it is started again
	m.until(m.ctx, "that the consumer stops again", stopped(2))
	if state := m.saga(id).State; state != "compensating" {
		t.Errorf("the saga is %s", state)
	}

	m.originals = nil
	m.start("partner")
	m.ends(id, "compensated", 0, 0)
	m.stop()
	m.nothingIsDead()
}

// TestIntegrationOriginalsMessagesAreBare looks at what the players send as a broker gives it: if they sent more than the original does, the tests
// would prove less.
func TestIntegrationOriginalsMessagesAreBare(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, setup{"orchestrated", "sqlite"})
	o := newOriginal(t, f.broker)
	bare, err := pulsarmsg.New(pulsarmsg.Config{URL: f.broker.URL, AdminURL: f.broker.AdminURL, Namespace: f.broker.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, received := make(chan struct{}), make(chan messaging.Message, 1)
	go func() {
		err := bare.Subscribe(ctx, messaging.Subscription{Topic: wire.TopicRegisterPartner, Name: "s"}, func() { close(ready) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				received <- batch[0]
				return make([]messaging.Disposition, len(batch))
			})
		if err != nil {
			t.Error(err)
		}
	}()
	<-ready
	o.registrarPartner("c", "Ana")
	select {
	case m := <-received:
		if m.ID != "" || m.Key != "" || m.Type != "" || len(m.Headers) > 0 || m.BrokerID == "" {
			t.Errorf("%+v", m)
		}
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	status, body := get(t, f.broker.AdminURL+"/admin/v2/schemas/"+f.broker.Namespace+"/"+wire.TopicRegisterPartner+"/schema/0")
	topic, _ := wire.TopicByName(wire.TopicRegisterPartner)
	var schema struct{ Data string }
	if err := json.Unmarshal([]byte(body), &schema); err != nil || schema.Data != topic.Original {
		t.Errorf("%d, %v: the schema is %s", status, err, schema.Data)
	}
}

// TestIntegrationTwoCoordinators has the original's coordinator still run: ours must not take its messages.
func TestIntegrationTwoCoordinators(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, setup{"orchestrated", "sqlite"})
	o := newOriginal(t, f.broker)
	o.consume(wire.TopicPartnerEvents, wire.SubscriptionPartnerEvents, func(any) bool { return true })
	f.start("campaign")
	p := f.running["campaign"]
	if code := p.wait(t); code == 0 || !strings.Contains(p.stderr.String(), "the original's campaign service: stop them") {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
}
