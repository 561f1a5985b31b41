package wire

// The records, field by field as on the wire. A nil pointer is null. They are exported for tests that
// build exactly what a participant of the original sends; see [Codec.EncodeRecord].

// Envelope is the head of every record.
type Envelope struct {
	ID              *string `avro:"id"`
	Time            *int64  `avro:"time"`      // milliseconds since 1970
	Ingestion       *int64  `avro:"ingestion"` // milliseconds since 1970
	SpecVersion     *string `avro:"specversion"`
	Type            *string `avro:"type"`
	DataContentType *string `avro:"datacontenttype"`
	ServiceName     *string `avro:"service_name"`
}

// ComandoRegistrarCampaign is the record of [TopicRegisterCampaign].
type ComandoRegistrarCampaign struct {
	Envelope
	Data *RegistrarCampaign `avro:"data"`
}

// RegistrarCampaign is the payload of [ComandoRegistrarCampaign].
type RegistrarCampaign struct {
	Nombre        *string  `avro:"nombre"`
	Presupuesto   *float32 `avro:"presupuesto"`
	Divisa        *string  `avro:"divisa"`
	MarcaID       *string  `avro:"marca_id"`
	Participantes *string  `avro:"participantes"` // a JSON array
}

// ComandoAprobarCampaign is the record of [TopicApproveCampaign].
type ComandoAprobarCampaign struct {
	Envelope
	Data *AprobarCampaign `avro:"data"`
}

// AprobarCampaign is the payload of [ComandoAprobarCampaign].
type AprobarCampaign struct {
	ID *string `avro:"id"`
}

// ComandoCancelarCampaign is the record of [TopicCancelCampaign].
type ComandoCancelarCampaign struct {
	Envelope
	Data *CancelarCampaign `avro:"data"`
}

// CancelarCampaign is the payload of [ComandoCancelarCampaign].
type CancelarCampaign struct {
	ID *string `avro:"id"`
}

// ComandoRegistrarPartner is the record of [TopicRegisterPartner].
type ComandoRegistrarPartner struct {
	Envelope
	Data *RegistrarPartner `avro:"data"`
}

// RegistrarPartner is the payload of [ComandoRegistrarPartner].
type RegistrarPartner struct {
	IDCampaign        *string `avro:"id_campaign"`
	Nombre            *string `avro:"nombre"`
	Tipo              *string `avro:"tipo"` // afiliado or influencer
	InformacionPerfil *string `avro:"informacion_perfil"`
	FechaCreacion     *int64  `avro:"fecha_creacion"` // milliseconds since 1970
}

// ComandoCancelarPartner is the record of [TopicCancelPartner].
type ComandoCancelarPartner struct {
	Envelope
	Data *CancelarPartner `avro:"data"`
}

// CancelarPartner is the payload of [ComandoCancelarPartner].
type CancelarPartner struct {
	ID *string `avro:"id"`
}

// ComandoRegistrarEvento is the record of [TopicRegisterEvent].
type ComandoRegistrarEvento struct {
	Envelope
	Data *RegistrarEvento `avro:"data"`
}

// RegistrarEvento is the payload of [ComandoRegistrarEvento].
type RegistrarEvento struct {
	IDPartner *string `avro:"id_partner"`
	IDCampana *string `avro:"id_campana"`
	Fecha     *int64  `avro:"fecha"` // milliseconds since 1970
}

// ComandoCancelarEvento is the record of [TopicCancelEvent].
type ComandoCancelarEvento struct {
	Envelope
	Data *CancelarEvento `avro:"data"`
}

// CancelarEvento is the payload of [ComandoCancelarEvento].
type CancelarEvento struct {
	ID *string `avro:"id"`
}

// EventoCampaign is the record of [TopicCampaignEvents]. Its last two fields are ours, and null
// where they do not apply; the first is then the record of nulls.
type EventoCampaign struct {
	Envelope
	CampaignRegistrada      *CampaignRegistrada      `avro:"campaign_registrada"`
	RegistroCampaignFallido *RegistroCampaignFallido `avro:"registro_campaign_fallido"`
	CampaignAprobada        *CampaignAprobada        `avro:"campaign_aprobada"`
}

// CampaignRegistrada is a payload of [EventoCampaign].
type CampaignRegistrada struct {
	ID            *string  `avro:"id"`
	Nombre        *string  `avro:"nombre"`
	Presupuesto   *float32 `avro:"presupuesto"`
	Divisa        *string  `avro:"divisa"`
	MarcaID       *string  `avro:"marca_id"`
	Participantes *string  `avro:"participantes"` // a JSON array
}

// RegistroCampaignFallido is a payload of [EventoCampaign].
type RegistroCampaignFallido CampaignRegistrada

// CampaignAprobada is a payload of [EventoCampaign].
type CampaignAprobada struct {
	ID *string `avro:"id"`
}

// EventoPartner is the record of [TopicPartnerEvents]. The field that does not apply is the record of nulls.
type EventoPartner struct {
	Envelope
	PartnerRegistrado *PartnerRegistrado      `avro:"partner_registrado"`
	PartnerFallido    *RegistroPartnerFallido `avro:"partner_fallido"`
}

// PartnerRegistrado is a payload of [EventoPartner].
type PartnerRegistrado struct {
	ID                *string `avro:"id"`
	IDCampaign        *string `avro:"id_campaign"`
	Nombre            *string `avro:"nombre"`
	Tipo              *string `avro:"tipo"` // afiliado or influencer
	InformacionPerfil *string `avro:"informacion_perfil"`
	FechaCreacion     *int64  `avro:"fecha_creacion"` // always null
}

// RegistroPartnerFallido is a payload of [EventoPartner].
type RegistroPartnerFallido PartnerRegistrado

// EventoTraking is the record of [TopicTrackingEvents]. The field that does not apply is the record of nulls.
type EventoTraking struct {
	Envelope
	EventoRegistrado *EventoRegistrado      `avro:"evento_registrado"`
	EventoFallido    *RegistroEventoFallido `avro:"evento_fallido"`
}

// EventoRegistrado is a payload of [EventoTraking].
type EventoRegistrado struct {
	ID        *string `avro:"id"`
	IDPartner *string `avro:"id_partner"`
	IDCampana *string `avro:"id_campana"`
	Fecha     *int64  `avro:"fecha"` // milliseconds since 1970
}

// RegistroEventoFallido is a payload of [EventoTraking].
type RegistroEventoFallido EventoRegistrado
