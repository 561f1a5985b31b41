package web

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
)

// The bodies of the original's routes. Fields that they do not name are ignored, as the original did.

type registrarCampaign struct {
	_             struct{}       `additionalProperties:"true"`
	Nombre        string         `doc:"The name, at most 100 characters."             example:"Test"       json:"nombre"`
	Presupuesto   number         `doc:"The budget, an exact decimal number."          example:"10000"      json:"presupuesto"`
	Divisa        string         `doc:"The currency of the budget, an ISO 4217 code." example:"USD"        json:"divisa"`
	MarcaID       string         `doc:"The brand that pays."                          json:"marca_id"`
	Participantes []participante `doc:"Those who are to become partners."             json:"participantes" nullable:"false"`
}

type participante struct {
	_                 struct{} `additionalProperties:"true"`
	ID                string   `example:"p-98765"             json:"id"`
	Tipo              string   `doc:"afiliado or influencer." example:"afiliado" json:"tipo"`
	Nombre            string   `example:"Alice Doe"           json:"nombre"`
	InformacionPerfil string   `json:"informacion_perfil"`
}

type registrarPartner struct {
	_                 struct{} `additionalProperties:"true"`
	IDCampaign        string   `doc:"The campaign; nobody asks whether it exists." json:"id_campaign"`
	Nombre            string   `json:"nombre"`
	Tipo              string   `enum:"afiliado,influencer,affiliate"               json:"tipo"`
	InformacionPerfil string   `json:"informacion_perfil"`
}

type registrarEvento struct {
	_         struct{} `additionalProperties:"true"`
	IDPartner string   `doc:"The partner; nobody asks whether it exists."  json:"id_partner"`
	IDCampana string   `doc:"The campaign; nobody asks whether it exists." json:"id_campana"`
}

// The entities as the original's routes show them.

type campaignJSON struct {
	_             struct{}       `additionalProperties:"true"`
	ID            string         `json:"id"`
	Nombre        string         `json:"nombre"`
	Presupuesto   number         `json:"presupuesto"`
	Divisa        string         `json:"divisa"`
	MarcaID       string         `json:"marca_id"`
	Participantes []participante `json:"participantes"        nullable:"false"`
	// Status is ours, and only there if it was asked for.
	Status string `doc:"Only with include=status." enum:"pending,active" json:"status,omitempty"`
}

type partnerJSON struct {
	_                 struct{} `additionalProperties:"true"`
	ID                string   `json:"id"`
	IDCampaign        string   `json:"id_campaign"`
	Nombre            string   `json:"nombre"`
	Tipo              string   `enum:"affiliate,influencer" json:"tipo"`
	InformacionPerfil string   `json:"informacion_perfil"`
}

type eventoJSON struct {
	_         struct{} `additionalProperties:"true"`
	ID        string   `json:"id"`
	IDPartner string   `json:"id_partner"`
	IDCampana string   `json:"id_campana"`
	Fecha     int64    `doc:"When it happened, in milliseconds since 1970." json:"fecha"`
}

// missingJSON is what the original answers in place of an entity that does not exist.
type missingJSON struct {
	Status string `enum:"No existe" json:"Status"`
}

func missing() missingJSON { return missingJSON{Status: "No existe"} }

// command returns what the body asks for. A budget that no message can carry is refused.
func (b registrarCampaign) command(id string) (campaign.Register, error) {
	budget, ok := b.Presupuesto.decimal()
	if !ok {
		return campaign.Register{}, invalid(fault("body.presupuesto", "is too long a number: write at most 30 digits, counted without an exponent"))
	}
	return campaign.Register{
		ID: id, Name: b.Nombre, Budget: budget, Currency: b.Divisa, BrandID: b.MarcaID, Participants: participants(b.Participantes),
	}, nil
}

func (b registrarPartner) command(id string) partner.Register {
	return partner.Register{ID: id, CampaignID: b.IDCampaign, Name: b.Nombre, Type: b.Tipo, Profile: b.InformacionPerfil}
}

func (b registrarEvento) command(id string, now time.Time) tracking.Register {
	return tracking.Register{ID: id, PartnerID: b.IDPartner, CampaignID: b.IDCampana, OccurredAt: now}
}

func participants(list []participante) []campaign.Participant {
	all := make([]campaign.Participant, len(list))
	for i, p := range list {
		all[i] = campaign.Participant{ID: p.ID, Type: p.Tipo, Name: p.Nombre, Profile: p.InformacionPerfil}
	}
	return all
}

func campaignToJSON(v campaign.View, withStatus bool) campaignJSON {
	c := campaignJSON{
		ID: v.ID, Nombre: v.Name, Presupuesto: number(v.Budget), Divisa: v.Currency, MarcaID: v.BrandID,
		Participantes: make([]participante, len(v.Participants)),
	}
	for i, p := range v.Participants {
		c.Participantes[i] = participante{ID: p.ID, Tipo: p.Type, Nombre: p.Name, InformacionPerfil: p.Profile}
	}
	if withStatus {
		c.Status = string(v.Status)
	}
	return c
}

// view is campaignToJSON the other way. The original knows no status: what it has is active.
func (c campaignJSON) view() campaign.View {
	v := campaign.View{
		ID: c.ID, Name: c.Nombre, Currency: c.Divisa, BrandID: c.MarcaID,
		Participants: participants(c.Participantes), Status: campaign.Active,
	}
	v.Budget, _ = c.Presupuesto.decimal()
	if c.Status != "" {
		v.Status = campaign.Status(c.Status)
	}
	return v
}

func partnerToJSON(v partner.View, _ bool) partnerJSON {
	return partnerJSON{ID: v.ID, IDCampaign: v.CampaignID, Nombre: v.Name, Tipo: string(v.Type), InformacionPerfil: v.Profile}
}

func (p partnerJSON) view() partner.View {
	return partner.View{ID: p.ID, CampaignID: p.IDCampaign, Name: p.Nombre, Type: partner.Type(p.Tipo), Profile: p.InformacionPerfil}
}

func eventToJSON(v tracking.View, _ bool) eventoJSON {
	return eventoJSON{ID: v.ID, IDPartner: v.PartnerID, IDCampana: v.CampaignID, Fecha: v.OccurredAt.UnixMilli()}
}

func (e eventoJSON) view() tracking.View {
	return tracking.View{ID: e.ID, PartnerID: e.IDPartner, CampaignID: e.IDCampana, OccurredAt: time.UnixMilli(e.Fecha).UTC()}
}

// oneOf documents an answer that is an entity or says that there is none.
func oneOf(schemas ...*huma.Schema) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: "The entity, or the word that there is none.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{OneOf: schemas}}},
	}}
}

// headerNextCursor tells where the next page of an original's list begins. It is ours.
const headerNextCursor = "Next-Cursor"

// streamedPage is the size of the pages that a whole list is made of.
const streamedPage = 1000

type listInput struct {
	Limit   int    `doc:"The most entities in the answer. Zero or missing: the whole list." maximum:"1000"  minimum:"0"     query:"limit"`
	Cursor  string `doc:"Where the page begins: the header Next-Cursor of the one before."  maxLength:"500" query:"cursor"`
	Include string `doc:"What to tell beyond what the original did."                        enum:"status"   query:"include"`
}

type findInput struct {
	ID      string `path:"id"`
	Include string `doc:"What to tell beyond what the original did." enum:"status" query:"include"`
}

type deleteInput struct {
	ID string `path:"id"`
}

type entityOutput struct {
	Body any
}

type registeredOutput struct {
	SagaID   string `doc:"The saga that carries the registration out: see /v1/sagas/{id}." header:"Saga-Id"`
	Location string `doc:"Where the entity will be."                                       header:"Location"`
	Body     statusBody
}

type acceptedOutput struct {
	Location string `doc:"Where the entity will be." header:"Location"`
	Body     statusBody
}

// mountBFF adds the original bff's routes.
func (s *server) mountBFF() {
	s.mountRegister("/registrar-campaign", "registrar-campaign", http.StatusOK)
	s.mountRegister("/campaña-commando", "campana-commando", http.StatusAccepted)
	register(s, original(http.MethodPost, "/registrar-partner", "registrar-partner", "Register a partner"),
		func(ctx context.Context, in *struct{ Body registrarPartner }) (*acceptedOutput, error) {
			id, err := s.registerPartner(ctx, in.Body.command(""))
			return &acceptedOutput{Location: "/v1/partners/" + id, Body: statusBody{"ok"}}, err
		})
	register(s, original(http.MethodPost, "/registrar-evento", "registrar-evento", "Register a tracking event"),
		func(ctx context.Context, in *struct{ Body registrarEvento }) (*acceptedOutput, error) {
			id, err := s.registerEvent(ctx, in.Body.command("", s.cfg.Now()))
			return &acceptedOutput{Location: "/v1/events/" + id, Body: statusBody{"ok"}}, err
		})

	s.mountEliminar("/eliminar-campaign/{id}", "eliminar-campaign", func(id string) any { return campaign.Cancel{ID: id} })
	s.mountEliminar("/eliminar-partner/{id}", "eliminar-partner", func(id string) any { return partner.Cancel{ID: id} })
	s.mountEliminar("/eliminar-evento/{id}", "eliminar-evento", func(id string) any { return tracking.Cancel{ID: id} })

	mountReads(s, "/obtener-campaigns", "obtener-campaigns", s.campaigns, campaignToJSON)
	mountReads(s, "/campaña-query", "campana-query", s.campaigns, campaignToJSON)
	mountReads(s, "/obtener-partners", "obtener-partners", s.partners, partnerToJSON)
	mountReads(s, "/obtener-eventos", "obtener-eventos", s.events, eventToJSON)
}

// mountServices adds the routes of the original's other services.
func (s *server) mountServices() {
	if s.cfg.serves(Campaign) {
		mountReads(s, "/campaigns", "campaigns", s.campaigns, campaignToJSON)
	}
	if s.cfg.serves(Partner) {
		mountReads(s, "/partners", "partners", s.partners, partnerToJSON)
	}
	if s.cfg.serves(Tracking) {
		mountReads(s, "/eventos", "eventos", s.events, eventToJSON)
	}
	if s.cfg.serves(Campaign) || s.cfg.serves(Partner) || s.cfg.serves(Tracking) {
		register(s, original(http.MethodGet, "/health", "health", "Says that the service answers"),
			func(context.Context, *struct{}) (*statusOutput, error) { return ok(), nil })
	}
}

// original describes an operation of the original.
func original(method, path, id, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tagOriginal},
		Errors: []int{http.StatusServiceUnavailable},
	}
}

func (s *server) mountRegister(path, id string, status int) {
	op := original(http.MethodPost, path, id, "Register a campaign")
	op.DefaultStatus = status
	register(s, op, func(ctx context.Context, in *struct{ Body registrarCampaign }) (*registeredOutput, error) {
		cmd, err := in.Body.command("")
		if err != nil {
			return nil, err
		}
		id, sagaID, err := s.registerCampaign(ctx, cmd)
		return &registeredOutput{SagaID: sagaID, Location: "/v1/campaigns/" + id, Body: statusBody{"ok"}}, err
	})
}

// mountEliminar adds a delete that is a GET request.
func (s *server) mountEliminar(path, id string, command func(id string) any) {
	register(s, original(http.MethodGet, path, id, "Delete, whether it exists or not"),
		func(ctx context.Context, in *deleteInput) (*statusOutput, error) {
			if !isID(in.ID) {
				return nil, invalid(fault("path.id", "is no id: send 1 to 100 characters without white space or control characters"))
			}
			return ok(), s.cancel(ctx, command(in.ID))
		})
}

// mountReads adds the list at path and the entities below it.
func mountReads[V, B any](s *server, path, id string, from reads[V], show func(v V, withStatus bool) B) {
	registry := s.api.OpenAPI().Components.Schemas
	entity := registry.Schema(reflect.TypeFor[B](), true, "")

	one := original(http.MethodGet, path+"/{id}", id+"-by-id", "Get one, or "+`{"Status":"No existe"}`)
	one.Errors = append(one.Errors, http.StatusBadGateway)
	one.Responses = oneOf(entity, registry.Schema(reflect.TypeFor[missingJSON](), true, ""))
	register(s, one, func(ctx context.Context, in *findInput) (*entityOutput, error) {
		if !isID(in.ID) {
			return &entityOutput{Body: missing()}, nil
		}
		v, none, err := from.find(ctx, in.ID)
		switch {
		case none:
			return &entityOutput{Body: missing()}, nil
		case err != nil:
			return nil, err
		default:
			return &entityOutput{Body: show(v, in.Include != "")}, nil
		}
	})

	all := original(http.MethodGet, path, id, "Get all, or a page")
	all.Errors = append(all.Errors, http.StatusBadGateway)
	all.Metadata = map[string]any{metadataStreams: true}
	all.Responses = map[string]*huma.Response{"200": {
		Description: "The list.",
		Headers:     map[string]*huma.Param{headerNextCursor: {Schema: &huma.Schema{Type: huma.TypeString}, Description: "Only where a limit was given and there is more."}},
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeArray, Items: entity}}},
	}}
	register(s, all, func(ctx context.Context, in *listInput) (*huma.StreamResponse, error) {
		size := in.Limit
		if size == 0 {
			size = streamedPage
		}
		pages := &pager[V]{from: from, size: size, timeout: s.cfg.Timeout, next: in.Cursor}
		first, err := pages.page(ctx)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(answer huma.Context) {
			if in.Limit > 0 && pages.next != "" {
				answer.SetHeader(headerNextCursor, pages.next)
			}
			answer.SetHeader("Content-Type", "application/json")
			answer.SetStatus(http.StatusOK)
			w := streamOf(answer, s.cfg.Timeout)
			if err := writeList(ctx, w, first, pages, in.Limit == 0, func(v V) any { return show(v, in.Include != "") }); err != nil {
				s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "list broke off", slog.String("operation", id), slog.String("error", err.Error()))
				w.breakOff()
			}
		}}, nil
	})
}

// pager reads a list page by page, each with the same time.
type pager[V any] struct {
	from    reads[V]
	size    int
	timeout time.Duration
	next    string // the cursor of the next page; "" at first and after the last
}

func (p *pager[V]) page(ctx context.Context) ([]V, error) {
	bounded, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	page, next, err := p.from.list(bounded, p.next, p.size)
	p.next = next
	return page, err
}

// writeList writes a JSON array of the page and, if all is wanted, of those after it. No more than a page is in memory.
func writeList[V any](ctx context.Context, w *stream, page []V, rest *pager[V], all bool, show func(V) any) error {
	separator := "["
	for {
		for _, v := range page {
			w.text(separator)
			if err := marshalJSON(w, show(v)); err != nil {
				return err
			}
			separator = ","
		}
		if !all || rest.next == "" {
			break
		}
		var err error
		if page, err = rest.page(ctx); err != nil {
			return err
		}
		w.extend()
	}
	if separator == "[" {
		w.text(separator)
	}
	w.text("]")
	return w.close()
}
