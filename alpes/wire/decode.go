package wire

import (
	"fmt"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/messaging"
)

// decode returns the domain's value of a record that came with m.
func decode(record any, m messaging.Message) (any, error) {
	switch r := record.(type) {
	case ComandoRegistrarCampaign:
		return registerCampaign(orZero(r.Data), m)
	case ComandoAprobarCampaign:
		return campaign.Approve{ID: text(orZero(r.Data).ID)}, nil
	case ComandoCancelarCampaign:
		return campaign.Cancel{ID: text(orZero(r.Data).ID)}, nil
	case EventoCampaign:
		return campaignEvent(r, m)
	case ComandoRegistrarPartner:
		d := orZero(r.Data)
		return partner.Register{
			ID: m.Header(HeaderEntityID), CampaignID: text(d.IDCampaign), Name: text(d.Nombre),
			Type: partnerType(d.Tipo), Profile: text(d.InformacionPerfil),
		}, nil
	case ComandoCancelarPartner:
		return partner.Cancel{ID: text(orZero(r.Data).ID)}, nil
	case EventoPartner:
		return partnerEvent(r, m)
	case ComandoRegistrarEvento:
		d := orZero(r.Data)
		at, err := occurredAt(d.Fecha)
		return tracking.Register{
			ID: m.Header(HeaderEntityID), PartnerID: text(d.IDPartner), CampaignID: text(d.IDCampana), OccurredAt: at,
		}, err
	case ComandoCancelarEvento:
		return tracking.Cancel{ID: text(orZero(r.Data).ID)}, nil
	case EventoTraking:
		return trackingEvent(r, m)
	default:
		return nil, messaging.ErrUnknownType
	}
}

// choice is one of the events that a record can be.
type choice struct {
	messageType string
	filled      bool
}

// choose returns the type that the envelope names, and where that is none of the choices the first
// one that holds anything.
func choose(named *string, choices ...choice) (string, error) {
	for _, c := range choices {
		if c.messageType == text(named) {
			return c.messageType, nil
		}
	}
	for _, c := range choices {
		if c.filled {
			return c.messageType, nil
		}
	}
	return "", fmt.Errorf("%w: the envelope's type is unknown and no payload holds anything", messaging.ErrMalformed)
}

func registerCampaign(d RegistrarCampaign, m messaging.Message) (any, error) {
	list, err := participants(d.Participantes)
	return campaign.Register{
		ID: m.Header(HeaderEntityID), Name: text(d.Nombre), Budget: budget(d.Presupuesto, m.Header(HeaderBudget)),
		Currency: text(d.Divisa), BrandID: text(d.MarcaID), Participants: list,
	}, err
}

func campaignEvent(r EventoCampaign, m messaging.Message) (any, error) {
	messageType, err := choose(r.Type,
		choice{TypeCampaignRegistered, filled(r.CampaignRegistrada)},
		choice{TypeCampaignRegistrationFailed, filled(r.RegistroCampaignFallido)},
		choice{TypeCampaignApproved, filled(r.CampaignAprobada)})
	if err != nil {
		return nil, err
	}
	if messageType == TypeCampaignApproved {
		return campaign.Approved{ID: eventID(orZero(r.CampaignAprobada).ID)}, nil
	}
	d := orZero(r.CampaignRegistrada)
	if messageType == TypeCampaignRegistrationFailed {
		d = CampaignRegistrada(orZero(r.RegistroCampaignFallido))
	}
	list, err := participants(d.Participantes)
	if err != nil {
		return nil, err
	}
	registered := campaign.Registered{
		ID: eventID(d.ID), Name: text(d.Nombre), Budget: budget(d.Presupuesto, m.Header(HeaderBudget)),
		Currency: text(d.Divisa), BrandID: text(d.MarcaID), Participants: list, At: sentAt(r.Time),
	}
	if messageType == TypeCampaignRegistered {
		return registered, nil
	}
	return campaign.RegistrationFailed{
		ID: registered.ID, Name: registered.Name, Budget: registered.Budget, Currency: registered.Currency,
		BrandID: registered.BrandID, Participants: list, Reason: m.Header(HeaderReason),
	}, nil
}

func partnerEvent(r EventoPartner, m messaging.Message) (any, error) {
	messageType, err := choose(r.Type,
		choice{TypePartnerRegistered, filled(r.PartnerRegistrado)},
		choice{TypePartnerRegistrationFailed, filled(r.PartnerFallido)})
	if err != nil {
		return nil, err
	}
	if messageType == TypePartnerRegistered {
		d := orZero(r.PartnerRegistrado)
		return partner.Registered{
			ID: eventID(d.ID), CampaignID: text(d.IDCampaign), Name: text(d.Nombre),
			Type: partnerType(d.Tipo), Profile: text(d.InformacionPerfil),
		}, nil
	}
	d := orZero(r.PartnerFallido)
	return partner.RegistrationFailed{
		ID: eventID(d.ID), CampaignID: text(d.IDCampaign), Name: text(d.Nombre),
		Type: partnerType(d.Tipo), Profile: text(d.InformacionPerfil), Reason: m.Header(HeaderReason),
	}, nil
}

func trackingEvent(r EventoTraking, m messaging.Message) (any, error) {
	messageType, err := choose(r.Type,
		choice{TypeEventRegistered, filled(r.EventoRegistrado)},
		choice{TypeEventRegistrationFailed, filled(r.EventoFallido)})
	if err != nil {
		return nil, err
	}
	d := orZero(r.EventoRegistrado)
	if messageType == TypeEventRegistrationFailed {
		d = EventoRegistrado(orZero(r.EventoFallido))
	}
	at, err := occurredAt(d.Fecha)
	if err != nil {
		return nil, err
	}
	if messageType == TypeEventRegistered {
		return tracking.Registered{
			ID: eventID(d.ID), PartnerID: text(d.IDPartner), CampaignID: text(d.IDCampana), OccurredAt: at,
		}, nil
	}
	return tracking.RegistrationFailed{
		ID: eventID(d.ID), PartnerID: text(d.IDPartner), CampaignID: text(d.IDCampana), OccurredAt: at, Reason: m.Header(HeaderReason),
	}, nil
}
