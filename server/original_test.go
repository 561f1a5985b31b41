//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// original plays processes of the original: to the byte what they send, and what they do with what they are sent. Its messages have no key and no
// properties, the ids of its commands are those of the process, and its subscriptions are Shared.
type original struct {
	t       *testing.T
	began   time.Time // the "ingestion" of events
	id      string    // of all commands
	broker  *pulsarmsg.Broker
	codec   *wire.Codec
	ctx     context.Context // its life
	working sync.WaitGroup

	mu        sync.Mutex
	eventless bool // events are refused
	partners  map[string]wire.RegistrarPartner
	events    map[string]wire.RegistrarEvento
	stopped   int // consumers that gave up for good
}

// v1 are the original's schemas, which it registers wherever it publishes.
type v1 struct{}

// Schema implements [pulsarmsg.Schemas].
func (v1) Schema(topic string) (string, bool) {
	t, _ := wire.TopicByName(topic)
	return t.Original, t.Original != ""
}

// AddWriter implements [pulsarmsg.Schemas]: the original reads everything by its own schema.
func (v1) AddWriter(string, string) (string, error) { return "", nil }

func newOriginal(t *testing.T, b testenv.Broker) *original {
	t.Helper()
	codec, err := wire.NewCodec(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := pulsarmsg.New(pulsarmsg.Config{
		URL: b.URL, AdminURL: b.AdminURL, Namespace: b.Namespace, Schemas: v1{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	o := &original{
		t: t, began: time.Now(), id: uuid.NewString(), broker: broker, codec: codec, ctx: ctx,
		partners: map[string]wire.RegistrarPartner{}, events: map[string]wire.RegistrarEvento{},
	}
	t.Cleanup(func() {
		cancel()
		o.working.Wait()
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// send publishes a record as it is, and nothing beside it.
func (o *original) send(topic string, record any) {
	m, err := o.codec.EncodeRecord(record)
	if err == nil {
		err = messaging.Publish(o.ctx, o.broker, messaging.Message{Topic: topic, Payload: m.Payload})
	}
	if err != nil && o.ctx.Err() == nil {
		o.t.Error(err)
	}
}

func (o *original) envelope(id, kind, content, service string, ingestion time.Time) wire.Envelope {
	now, began, version := time.Now().UnixMilli(), ingestion.UnixMilli(), "v1"
	return wire.Envelope{
		ID: &id, Time: &now, Ingestion: &began, SpecVersion: &version, Type: &kind, DataContentType: &content, ServiceName: &service,
	}
}

func (o *original) command(kind, service string) wire.Envelope {
	return o.envelope(o.id, kind, kind, service, time.Now())
}

func (o *original) event(id, kind string) wire.Envelope {
	return o.envelope(id, kind, "AVRO", "alpespartners", o.began)
}

func ref[T any](v T) *T { return &v }

// The bff.

func (o *original) registrarCampaign(name string, participants ...string) {
	list := make([]map[string]string, len(participants))
	for i, p := range participants {
		list[i] = map[string]string{"id": fmt.Sprint("p-", i), "tipo": "afiliado", "nombre": p, "informacion_perfil": "viajes"}
	}
	text, err := json.Marshal(list)
	if err != nil {
		o.t.Error(err)
	}
	o.send(wire.TopicRegisterCampaign, wire.ComandoRegistrarCampaign{
		Envelope: o.command("RegistrarCampaign", "campaign.aeroalpes"),
		Data: &wire.RegistrarCampaign{
			Nombre: &name, Presupuesto: ref(float32(2500.5)), Divisa: ref("EUR"), MarcaID: ref("brand"), Participantes: ref(string(text)),
		},
	})
}

func (o *original) registrarPartner(campaign, name string) {
	o.send(wire.TopicRegisterPartner, wire.ComandoRegistrarPartner{
		Envelope: o.command("RegistrarPartner", "partner.aeroalpes"),
		Data: &wire.RegistrarPartner{
			IDCampaign: &campaign, Nombre: &name, Tipo: ref("influencer"), InformacionPerfil: ref("Test"), FechaCreacion: ref(time.Now().UnixMilli()),
		},
	})
}

func (o *original) registrarEvento(partner, campaign string) {
	o.send(wire.TopicRegisterEvent, wire.ComandoRegistrarEvento{
		Envelope: o.command("RegistrarEvento", "traking.aeroalpes"),
		Data:     &wire.RegistrarEvento{IDPartner: &partner, IDCampana: &campaign, Fecha: ref(time.Now().UnixMilli())},
	})
}

func (o *original) eliminarCampaign(id string) {
	o.send(wire.TopicCancelCampaign, wire.ComandoCancelarCampaign{
		Envelope: o.command("CancelarCampaign", "campaign.aeroalpes"), Data: &wire.CancelarCampaign{ID: &id},
	})
}

func (o *original) eliminarPartner(id string) {
	o.send(wire.TopicCancelPartner, wire.ComandoCancelarPartner{
		Envelope: o.command("CancelarPartner", "partner.aeroalpes"), Data: &wire.CancelarPartner{ID: &id},
	})
}

func (o *original) eliminarEvento(id string) {
	o.send(wire.TopicCancelEvent, wire.ComandoCancelarEvento{
		Envelope: o.command("CancelarEvento", "partner.aeroalpes"), Data: &wire.CancelarEvento{ID: &id},
	})
}

// consume is a consumer's loop. It ends for good, with the message unacknowledged, when handle says so; whoever consumes next gets the
// message again. It returns when the subscription is there.
func (o *original) consume(topic, subscription string, handle func(record any) (ok bool)) {
	ctx, stop := context.WithCancel(o.ctx)
	ready := make(chan struct{})
	o.working.Go(func() {
		defer stop()
		err := o.broker.Subscribe(ctx, messaging.Subscription{Topic: topic, Name: subscription, MaxBatch: 1}, func() { close(ready) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				again := []messaging.Disposition{{Redeliver: true}}
				if ctx.Err() != nil {
					return again
				}
				record, err := o.codec.DecodeRecord(messaging.Message{Topic: topic, Payload: batch[0].Payload}) // nothing beside it is looked at
				if err != nil {
					o.t.Error(topic, err)
				} else if !handle(record) {
					stop()
					o.mu.Lock()
					o.stopped++
					o.mu.Unlock()
					return again
				}
				return []messaging.Disposition{{}}
			})
		if err != nil {
			o.t.Error(topic, err)
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		o.t.Errorf("%s: not subscribed within %v", topic, patience)
	}
}

// partner begins the partner service.
func (o *original) partner() {
	o.consume(wire.TopicRegisterPartner, wire.SubscriptionRegisterPartner, func(record any) bool {
		c, _ := record.(wire.ComandoRegistrarPartner)
		if *c.Data.Nombre == blocked {
			o.partnerFallido(*c.Data)
			return true
		}
		id := uuid.NewString()
		o.mu.Lock()
		o.partners[id] = *c.Data
		o.mu.Unlock()
		o.send(wire.TopicPartnerEvents, wire.EventoPartner{
			Envelope: o.event(id, "partner_registrado"),
			PartnerRegistrado: &wire.PartnerRegistrado{
				ID: &id, IDCampaign: c.Data.IDCampaign, Nombre: c.Data.Nombre, Tipo: ref("influencer"), InformacionPerfil: c.Data.InformacionPerfil,
			},
			PartnerFallido: &wire.RegistroPartnerFallido{},
		})
		return true
	})
	o.consumePartnerCancellations()
}

func (o *original) consumePartnerCancellations() {
	o.consume(wire.TopicCancelPartner, wire.SubscriptionCancelPartner, func(record any) bool {
		c, _ := record.(wire.ComandoCancelarPartner)
		o.mu.Lock()
		data, known := o.partners[*c.Data.ID]
		delete(o.partners, *c.Data.ID)
		o.mu.Unlock()
		if known {
			o.partnerFallido(data)
		}
		return known
	})
}

// partnerFallido tells that a partner was refused, or was cancelled, under an id that nobody knows.
func (o *original) partnerFallido(d wire.RegistrarPartner) {
	id := uuid.NewString()
	o.send(wire.TopicPartnerEvents, wire.EventoPartner{
		Envelope:          o.event(id, "partner_fallido"),
		PartnerRegistrado: &wire.PartnerRegistrado{},
		PartnerFallido: &wire.RegistroPartnerFallido{
			ID: &id, IDCampaign: d.IDCampaign, Nombre: d.Nombre, Tipo: ref("influencer"), InformacionPerfil: d.InformacionPerfil,
		},
	})
}

// tracking begins the tracking service.
func (o *original) tracking() {
	o.consume(wire.TopicRegisterEvent, wire.SubscriptionRegisterEvent, func(record any) bool {
		c, _ := record.(wire.ComandoRegistrarEvento)
		d := *c.Data
		none := "None"
		o.mu.Lock()
		eventless := o.eventless
		o.mu.Unlock()
		if eventless {
			o.send(wire.TopicTrackingEvents, wire.EventoTraking{
				Envelope: o.event(none, "evento_fallido"), EventoRegistrado: &wire.EventoRegistrado{},
				EventoFallido: &wire.RegistroEventoFallido{ID: &none, IDPartner: d.IDPartner, IDCampana: d.IDCampana, Fecha: d.Fecha},
			})
			return true
		}
		o.mu.Lock()
		o.events[uuid.NewString()] = d
		o.mu.Unlock()
		o.send(wire.TopicTrackingEvents, wire.EventoTraking{
			Envelope:         o.event(none, "evento_registrado"),
			EventoRegistrado: &wire.EventoRegistrado{ID: &none, IDPartner: d.IDPartner, IDCampana: d.IDCampana, Fecha: d.Fecha},
			EventoFallido:    &wire.RegistroEventoFallido{},
		})
		return true
	})
	o.consume(wire.TopicCancelEvent, wire.SubscriptionCancelEvent, func(record any) bool {
		c, _ := record.(wire.ComandoCancelarEvento)
		o.mu.Lock()
		delete(o.events, *c.Data.ID)
		o.mu.Unlock()
		return true // nothing is told
	})
}

func (o *original) refuseEvents(yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.eventless = yes
}

// kept returns how many partners and events there are of the campaign.
func (o *original) kept(campaign string) (partners, events int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.partners {
		if *p.IDCampaign == campaign {
			partners++
		}
	}
	for _, e := range o.events {
		if *e.IDCampana == campaign {
			events++
		}
	}
	return partners, events
}
