package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// The bodies under /v1.

type participantV1 struct {
	ID      string `doc:"The caller's own id of the participant; unique in the campaign." example:"p-98765"   json:"id,omitempty" maxLength:"100"`
	Type    string `enum:"affiliate,afiliado,influencer"                                  json:"type"`
	Name    string `doc:"Unique in the campaign, whatever its case."                      example:"Alice Doe" json:"name"         maxLength:"100" minLength:"1"`
	Profile string `json:"profile,omitempty"                                              maxLength:"255"`
}

type newCampaignV1 struct {
	ID           string          `doc:"The campaign's id. Missing: the server makes one. Send the same again with the same id to repeat a request safely." format:"uuid"                 json:"id,omitempty"`
	Name         string          `json:"name"                                                                                                              maxLength:"100"               minLength:"1"`
	Budget       string          `doc:"More than 0, with no more decimals than the currency has."                                                          example:"10000.50"            json:"budget"        maxLength:"30"                                    pattern:"^[0-9]+(\\.[0-9]+)?$" patternDescription:"a decimal number such as 10000.50"`
	Currency     string          `example:"USD"                                                                                                            json:"currency"               pattern:"^[A-Z]{3}$" patternDescription:"an ISO 4217 code such as USD"`
	BrandID      string          `json:"brandId"                                                                                                           maxLength:"36"                minLength:"1"`
	Participants []participantV1 `doc:"Those who are to become partners."                                                                                  json:"participants,omitempty" maxItems:"10000"     nullable:"false"`
}

type campaignV1 struct {
	ID           string          `format:"uuid"                                                               json:"id"`
	Name         string          `json:"name"`
	Budget       string          `doc:"An exact decimal number."                                              example:"10000.5"     json:"budget"`
	Currency     string          `json:"currency"`
	BrandID      string          `json:"brandId"`
	Participants []participantV1 `json:"participants"                                                         nullable:"false"`
	Status       string          `doc:"A pending campaign waits for its partners and may still be withdrawn." enum:"pending,active" json:"status"`
}

type newPartnerV1 struct {
	ID         string `doc:"The partner's id. Missing: the server makes one." format:"uuid"     json:"id,omitempty"`
	CampaignID string `doc:"Nobody asks whether it exists."                   json:"campaignId" maxLength:"36"      minLength:"1"`
	Name       string `json:"name"                                            maxLength:"100"   minLength:"1"`
	Type       string `enum:"affiliate,afiliado,influencer"                   json:"type"`
	Profile    string `json:"profile,omitempty"                               maxLength:"255"`
}

type partnerV1 struct {
	ID         string `format:"uuid"               json:"id"`
	CampaignID string `json:"campaignId"`
	Name       string `json:"name"`
	Type       string `enum:"affiliate,influencer" json:"type"`
	Profile    string `json:"profile"`
}

type newEventV1 struct {
	ID         string    `doc:"The event's id. Missing: the server makes one." format:"uuid"              json:"id,omitempty"`
	PartnerID  string    `doc:"Nobody asks whether it exists."                 json:"partnerId"           maxLength:"100"     minLength:"1"`
	CampaignID string    `doc:"Nobody asks whether it exists."                 json:"campaignId"          maxLength:"100"     minLength:"1"`
	OccurredAt time.Time `doc:"Kept to the millisecond. Missing: now."         json:"occurredAt,omitzero"`
}

type eventV1 struct {
	ID         string    `format:"uuid"     json:"id"`
	PartnerID  string    `json:"partnerId"`
	CampaignID string    `json:"campaignId"`
	OccurredAt time.Time `json:"occurredAt"`
}

type acceptedCampaignV1 struct {
	ID     string `format:"uuid"                                                         json:"id"`
	SagaID string `doc:"The saga that carries the registration out: see /v1/sagas/{id}." json:"sagaId"`
	Status string `enum:"pending"                                                        json:"status"`
}

type acceptedV1 struct {
	ID     string `format:"uuid"  json:"id"`
	Status string `enum:"pending" json:"status"`
}

type acceptedCampaignOutput struct {
	Location string `header:"Location"`
	SagaID   string `header:"Saga-Id"`
	Body     acceptedCampaignV1
}

type acceptedV1Output struct {
	Location string `header:"Location"`
	Body     acceptedV1
}

// page is a part of a list.
type page[T any] struct {
	Items      []T    `json:"items"                                                 nullable:"false"`
	NextCursor string `doc:"Where the next page begins. Missing: this is the last." json:"nextCursor,omitempty"`
}

type pageOutput[T any] struct {
	Link string `doc:"The next page, as rel=next." header:"Link"`
	Body page[T]
}

type oneOutput[T any] struct {
	Body T
}

type pageInput struct {
	Limit  int    `default:"100"                                                     doc:"The most entities in a page." maximum:"1000" minimum:"1" query:"limit"`
	Cursor string `doc:"The nextCursor of the page before. Missing: the first page." maxLength:"500"                    query:"cursor"`
}

type idInput struct {
	ID string `path:"id"`
}

// mountV1 adds the proper routes.
func (s *server) mountV1() {
	op := v1(http.MethodPost, "/v1/campaigns", "register-campaign", "Register a campaign", http.StatusAccepted)
	op.Errors = append(op.Errors, http.StatusConflict)
	register(s, op, s.postCampaign)
	register(s, v1(http.MethodPost, "/v1/partners", "register-partner", "Register a partner", http.StatusAccepted), s.postPartner)
	register(s, v1(http.MethodPost, "/v1/events", "register-event", "Register a tracking event", http.StatusAccepted), s.postEvent)
	mountEntity(s, "/v1/campaigns", "campaign", s.campaigns, campaignToV1, func(id string) any { return campaign.Cancel{ID: id} })
	mountEntity(s, "/v1/partners", "partner", s.partners, partnerToV1, func(id string) any { return partner.Cancel{ID: id} })
	mountEntity(s, "/v1/events", "event", s.events, eventToV1, func(id string) any { return tracking.Cancel{ID: id} })
}

// v1 describes an operation under /v1.
func v1(method, path, id, summary string, status int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tagV1}, DefaultStatus: status,
		Errors: []int{http.StatusServiceUnavailable},
	}
}

func (s *server) postCampaign(ctx context.Context, in *struct{ Body newCampaignV1 }) (*acceptedCampaignOutput, error) {
	b := in.Body
	id, err := s.idFor(b.ID)
	if err != nil {
		return nil, err
	}
	cmd := campaign.Register{ID: id, Name: b.Name, Budget: b.Budget, Currency: b.Currency, BrandID: b.BrandID}
	for _, p := range b.Participants {
		cmd.Participants = append(cmd.Participants, campaign.Participant{ID: p.ID, Type: p.Type, Name: p.Name, Profile: p.Profile})
	}
	if _, err := campaign.New(cmd); err != nil {
		return nil, err
	}
	if b.ID != "" && s.cfg.Sagas != nil {
		if answer, err := s.repeatedCampaign(ctx, cmd); answer != nil || err != nil {
			return answer, err
		}
	}
	id, sagaID, err := s.registerCampaign(ctx, cmd)
	return &acceptedCampaignOutput{
		Location: "/v1/campaigns/" + id, SagaID: sagaID,
		Body: acceptedCampaignV1{ID: id, SagaID: sagaID, Status: string(campaign.Pending)},
	}, err
}

// repeatedCampaign answers for an id that a registration has already: the same registration, as long as it stands, gets
// the same answer, everything else is a conflict. It returns nothing if the id is new.
func (s *server) repeatedCampaign(ctx context.Context, cmd campaign.Register) (*acceptedCampaignOutput, error) {
	id := coordinator.IDOf(registration.Name, cmd.ID)
	state, err := s.cfg.Sagas.Get(ctx, id)
	if errors.Is(err, saga.ErrNotFound) {
		return nil, nil //nolint:nilnil // no answer and no fault
	}
	if err != nil {
		return nil, err
	}
	var stored registration.Registration
	if err := json.Unmarshal(s.data(state, state.Root), &stored); err != nil {
		return nil, fmt.Errorf("web: saga %s: %w", id, err)
	}
	status := campaign.Pending
	stands := state.Status == saga.Running || state.Status == saga.Parked
	if state.Status == saga.Completed {
		found, missing, err := s.campaigns.find(ctx, cmd.ID)
		if err != nil && !missing {
			return nil, err
		}
		status, stands = found.Status, !missing
	}
	if !stands || !sameRegistration(stored.Campaign, cmd) {
		return nil, huma.Error409Conflict("the id was taken by a registration that is " + string(state.Status) + ": give a new one, or none")
	}
	return &acceptedCampaignOutput{
		Location: "/v1/campaigns/" + cmd.ID, SagaID: string(id),
		Body: acceptedCampaignV1{ID: cmd.ID, SagaID: string(id), Status: string(status)},
	}, nil
}

func sameRegistration(a, b campaign.Register) bool {
	same := slices.Equal(a.Participants, b.Participants)
	a.Participants, b.Participants = nil, nil
	return same && reflect.DeepEqual(a, b)
}

func (s *server) postPartner(ctx context.Context, in *struct{ Body newPartnerV1 }) (*acceptedV1Output, error) {
	b := in.Body
	id, err := s.idFor(b.ID)
	if err != nil {
		return nil, err
	}
	cmd := partner.Register{ID: id, CampaignID: b.CampaignID, Name: b.Name, Type: b.Type, Profile: b.Profile}
	if _, err := partner.New(cmd); err != nil {
		return nil, err
	}
	return accepted("/v1/partners/", id), s.send(ctx, cmd, id)
}

func (s *server) postEvent(ctx context.Context, in *struct{ Body newEventV1 }) (*acceptedV1Output, error) {
	b := in.Body
	id, err := s.idFor(b.ID)
	if err != nil {
		return nil, err
	}
	if b.OccurredAt.IsZero() {
		b.OccurredAt = s.cfg.Now()
	}
	cmd := tracking.Register{ID: id, PartnerID: b.PartnerID, CampaignID: b.CampaignID, OccurredAt: b.OccurredAt}
	if _, err := tracking.New(cmd); err != nil {
		return nil, err
	}
	return accepted("/v1/events/", id), s.send(ctx, cmd, id)
}

func accepted(path, id string) *acceptedV1Output {
	return &acceptedV1Output{Location: path + id, Body: acceptedV1{ID: id, Status: "pending"}}
}

// mountEntity adds the list, the entity and its deletion.
func mountEntity[V, B any](s *server, path, name string, from reads[V], show func(V) B, cancel func(id string) any) {
	list := v1(http.MethodGet, path, "list-"+name+"s", "List all, in the order of their registration", http.StatusOK)
	list.Errors = append(list.Errors, http.StatusBadGateway)
	register(s, list, func(ctx context.Context, in *pageInput) (*pageOutput[B], error) {
		views, next, err := from.list(ctx, in.Cursor, in.Limit)
		if err != nil {
			return nil, err
		}
		out := &pageOutput[B]{Body: page[B]{Items: make([]B, len(views)), NextCursor: next}}
		for i, v := range views {
			out.Body.Items[i] = show(v)
		}
		if next != "" {
			out.Link = nextLink(path, url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {next}})
		}
		return out, nil
	})

	find := v1(http.MethodGet, path+"/{id}", "get-"+name, "Get one", http.StatusOK)
	find.Errors = append(find.Errors, http.StatusNotFound, http.StatusBadGateway)
	register(s, find, func(ctx context.Context, in *idInput) (*oneOutput[B], error) {
		v, err := lookUp(ctx, from, name, in.ID)
		if err != nil {
			return nil, err
		}
		return &oneOutput[B]{Body: show(v)}, nil
	})

	remove := v1(http.MethodDelete, path+"/{id}", "delete-"+name, "Delete one: it is gone once its service has carried it out", http.StatusAccepted)
	remove.Errors = append(remove.Errors, http.StatusNotFound, http.StatusBadGateway)
	register(s, remove, func(ctx context.Context, in *idInput) (*struct{}, error) {
		if _, err := lookUp(ctx, from, name, in.ID); err != nil {
			return nil, err
		}
		return nil, s.cancel(ctx, cancel(in.ID))
	})
}

// lookUp returns the entity, or the 404 that names what is missing.
func lookUp[V any](ctx context.Context, from reads[V], name, id string) (V, error) {
	var none V
	absent := huma.Error404NotFound(fmt.Sprintf("there is no %s with that id", name))
	if !isID(id) {
		return none, absent
	}
	v, missing, err := from.find(ctx, id)
	if missing {
		return none, absent
	}
	return v, err
}

func nextLink(path string, query url.Values) string {
	return "<" + path + "?" + query.Encode() + `>; rel="next"`
}

func campaignToV1(v campaign.View) campaignV1 {
	c := campaignV1{
		ID: v.ID, Name: v.Name, Budget: v.Budget, Currency: v.Currency, BrandID: v.BrandID, Status: string(v.Status),
		Participants: make([]participantV1, len(v.Participants)),
	}
	for i, p := range v.Participants {
		c.Participants[i] = participantV1{ID: p.ID, Type: p.Type, Name: p.Name, Profile: p.Profile}
	}
	return c
}

func partnerToV1(v partner.View) partnerV1 {
	return partnerV1{ID: v.ID, CampaignID: v.CampaignID, Name: v.Name, Type: string(v.Type), Profile: v.Profile}
}

func eventToV1(v tracking.View) eventV1 {
	return eventV1{ID: v.ID, PartnerID: v.PartnerID, CampaignID: v.CampaignID, OccurredAt: v.OccurredAt}
}
