package wire

import (
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/messaging"
)

// outgoing is a value on its way out: its record and what goes beside it.
type outgoing struct {
	messageType string
	key         string
	record      any
	headers     map[string]string
}

// The constants of the envelope.
const (
	specVersion      = "v1"
	avroContent      = "AVRO"
	servicePublisher = "alpespartners"
	serviceCampaign  = "campaign.aeroalpes"
	servicePartner   = "partner.aeroalpes"
	serviceTracking  = "traking.aeroalpes"
)

func envelope(messageType, content, service, id string, now time.Time) Envelope {
	ms, version := now.UnixMilli(), specVersion
	return Envelope{
		ID: orNull(id), Time: &ms, Ingestion: &ms, SpecVersion: &version,
		Type: &messageType, DataContentType: &content, ServiceName: &service,
	}
}

// command returns a command's envelope; the original names its payload record as it names the type.
func command(messageType, service, id string, now time.Time) Envelope {
	return envelope(messageType, messageType, service, id, now)
}

func event(messageType, id string, now time.Time) Envelope {
	return envelope(messageType, avroContent, servicePublisher, id, now)
}

// typeOf returns the message type of a value of the domain, "" for any other.
func typeOf(v any) string {
	switch v.(type) {
	case campaign.Register:
		return TypeRegisterCampaign
	case campaign.Approve:
		return TypeApproveCampaign
	case campaign.Cancel:
		return TypeCancelCampaign
	case campaign.Registered:
		return TypeCampaignRegistered
	case campaign.RegistrationFailed:
		return TypeCampaignRegistrationFailed
	case campaign.Approved:
		return TypeCampaignApproved
	case partner.Register:
		return TypeRegisterPartner
	case partner.Cancel:
		return TypeCancelPartner
	case partner.Registered:
		return TypePartnerRegistered
	case partner.RegistrationFailed:
		return TypePartnerRegistrationFailed
	case tracking.Register:
		return TypeRegisterEvent
	case tracking.Cancel:
		return TypeCancelEvent
	case tracking.Registered:
		return TypeEventRegistered
	case tracking.RegistrationFailed:
		return TypeEventRegistrationFailed
	default:
		return ""
	}
}

// encode returns v's record. Its callers name v's type in the error.
func encode(v any, now time.Time) (o outgoing, err error) {
	o.messageType = typeOf(v)
	switch v := v.(type) {
	case campaign.Register:
		err = o.registerCampaign(v, now)
	case campaign.Approve:
		o.key = v.ID
		o.record = ComandoAprobarCampaign{command(o.messageType, serviceCampaign, v.ID, now), &AprobarCampaign{ID: &v.ID}}
	case campaign.Cancel:
		o.key = v.ID
		o.record = ComandoCancelarCampaign{command(o.messageType, serviceCampaign, v.ID, now), &CancelarCampaign{ID: &v.ID}}
	case campaign.Registered:
		err = o.campaignRegistered(v, now)
	case campaign.RegistrationFailed:
		err = o.campaignFailed(v, now)
	case campaign.Approved:
		o.key = v.ID
		o.record = EventoCampaign{
			Envelope:           event(o.messageType, v.ID, now),
			CampaignRegistrada: &CampaignRegistrada{},
			CampaignAprobada:   &CampaignAprobada{ID: &v.ID},
		}
	case partner.Register:
		err = o.registerPartner(v, now)
	case partner.Cancel:
		o.key = v.ID
		o.record = ComandoCancelarPartner{command(o.messageType, servicePartner, v.ID, now), &CancelarPartner{ID: &v.ID}}
	case partner.Registered:
		err = o.partnerRegistered(v, now)
	case partner.RegistrationFailed:
		o.partnerFailed(v, now)
	case tracking.Register:
		err = o.registerEvent(v, now)
	case tracking.Cancel:
		o.key = v.ID
		// The original's envelope names the partner service here.
		o.record = ComandoCancelarEvento{command(o.messageType, servicePartner, v.ID, now), &CancelarEvento{ID: &v.ID}}
	case tracking.Registered:
		err = o.eventRegistered(v, now)
	case tracking.RegistrationFailed:
		err = o.eventFailed(v, now)
	default:
		err = messaging.ErrUnknownType
	}
	return o, err
}

func (o *outgoing) registerCampaign(v campaign.Register, now time.Time) error {
	amount, err := requiredPresupuesto(v.Budget)
	if err != nil {
		return err
	}
	list, err := participantsText(v.Participants)
	if err != nil {
		return err
	}
	o.key = v.ID
	o.headers = map[string]string{HeaderEntityID: v.ID, HeaderBudget: v.Budget}
	o.record = ComandoRegistrarCampaign{
		Envelope: command(o.messageType, serviceCampaign, v.ID, now),
		Data: &RegistrarCampaign{
			Nombre: &v.Name, Presupuesto: amount, Divisa: &v.Currency, MarcaID: &v.BrandID, Participantes: list,
		},
	}
	return nil
}

func (o *outgoing) campaignRegistered(v campaign.Registered, now time.Time) error {
	amount, err := requiredPresupuesto(v.Budget)
	if err != nil {
		return err
	}
	list, err := participantsText(v.Participants)
	if err != nil {
		return err
	}
	if !v.At.IsZero() {
		now = v.At
	}
	o.key = v.ID
	o.headers = map[string]string{HeaderBudget: v.Budget}
	o.record = EventoCampaign{
		Envelope: event(o.messageType, v.ID, now),
		CampaignRegistrada: &CampaignRegistrada{
			ID: &v.ID, Nombre: &v.Name, Presupuesto: amount, Divisa: &v.Currency, MarcaID: &v.BrandID, Participantes: list,
		},
	}
	return nil
}

// campaignFailed takes any budget: a refusal must be able to say what it refuses.
func (o *outgoing) campaignFailed(v campaign.RegistrationFailed, now time.Time) error {
	list, err := participantsText(v.Participants)
	if err != nil {
		return err
	}
	data := RegistroCampaignFallido{ID: &v.ID, Nombre: &v.Name, Divisa: &v.Currency, MarcaID: &v.BrandID, Participantes: list}
	if amount, ok := presupuesto(v.Budget); ok {
		data.Presupuesto = &amount
	}
	o.key = v.ID
	o.headers = map[string]string{HeaderBudget: headerText(v.Budget), HeaderReason: headerText(v.Reason)}
	o.record = EventoCampaign{
		Envelope:                event(o.messageType, v.ID, now),
		CampaignRegistrada:      &CampaignRegistrada{},
		RegistroCampaignFallido: &data,
	}
	return nil
}

func (o *outgoing) registerPartner(v partner.Register, now time.Time) error {
	symbol, err := requiredTipo(v.Type)
	if err != nil {
		return err
	}
	ms := now.UnixMilli()
	o.key = v.CampaignID
	o.headers = map[string]string{HeaderEntityID: v.ID}
	o.record = ComandoRegistrarPartner{
		Envelope: command(o.messageType, servicePartner, v.ID, now),
		Data: &RegistrarPartner{
			IDCampaign: &v.CampaignID, Nombre: &v.Name, Tipo: symbol, InformacionPerfil: &v.Profile, FechaCreacion: &ms,
		},
	}
	return nil
}

func (o *outgoing) partnerRegistered(v partner.Registered, now time.Time) error {
	symbol, err := requiredTipo(v.Type)
	if err != nil {
		return err
	}
	o.key = v.CampaignID
	o.record = EventoPartner{
		Envelope: event(o.messageType, v.ID, now),
		PartnerRegistrado: &PartnerRegistrado{
			ID: &v.ID, IDCampaign: &v.CampaignID, Nombre: &v.Name, Tipo: symbol, InformacionPerfil: &v.Profile,
		},
		PartnerFallido: &RegistroPartnerFallido{},
	}
	return nil
}

// partnerFailed takes any type: a refusal must be able to say what it refuses.
func (o *outgoing) partnerFailed(v partner.RegistrationFailed, now time.Time) {
	o.key = v.CampaignID
	o.headers = map[string]string{HeaderReason: headerText(v.Reason)}
	o.record = EventoPartner{
		Envelope:          event(o.messageType, v.ID, now),
		PartnerRegistrado: &PartnerRegistrado{},
		PartnerFallido: &RegistroPartnerFallido{
			ID: &v.ID, IDCampaign: &v.CampaignID, Nombre: &v.Name, Tipo: tipo(v.Type), InformacionPerfil: &v.Profile,
		},
	}
}

func (o *outgoing) registerEvent(v tracking.Register, now time.Time) error {
	ms, err := fecha(v.OccurredAt)
	if err != nil {
		return err
	}
	o.key = v.CampaignID
	o.headers = map[string]string{HeaderEntityID: v.ID}
	o.record = ComandoRegistrarEvento{
		Envelope: command(o.messageType, serviceTracking, v.ID, now),
		Data:     &RegistrarEvento{IDPartner: &v.PartnerID, IDCampana: &v.CampaignID, Fecha: ms},
	}
	return nil
}

func (o *outgoing) eventRegistered(v tracking.Registered, now time.Time) error {
	ms, err := fecha(v.OccurredAt)
	if err != nil {
		return err
	}
	o.key = v.CampaignID
	o.record = EventoTraking{
		Envelope:         event(o.messageType, v.ID, now),
		EventoRegistrado: &EventoRegistrado{ID: &v.ID, IDPartner: &v.PartnerID, IDCampana: &v.CampaignID, Fecha: ms},
		EventoFallido:    &RegistroEventoFallido{},
	}
	return nil
}

func (o *outgoing) eventFailed(v tracking.RegistrationFailed, now time.Time) error {
	ms, err := fecha(v.OccurredAt)
	if err != nil {
		return err
	}
	o.key = v.CampaignID
	o.headers = map[string]string{HeaderReason: headerText(v.Reason)}
	o.record = EventoTraking{
		Envelope:         event(o.messageType, v.ID, now),
		EventoRegistrado: &EventoRegistrado{},
		EventoFallido:    &RegistroEventoFallido{ID: &v.ID, IDPartner: &v.PartnerID, IDCampana: &v.CampaignID, Fecha: ms},
	}
	return nil
}

// headerText returns s as a header can carry it.
func headerText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
