package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// sagaSummary is an instance in a list.
type sagaSummary struct {
	ID         string    `json:"id"`
	Definition string    `json:"definition"`
	Hash       string    `doc:"The hash of the definition that the instance is pinned to."                           json:"hash"`
	Key        string    `doc:"The business key: a campaign's id."                                                   json:"key,omitempty"`
	State      string    `enum:"running,compensating,parked,completed,compensated,forced"                            json:"state"`
	Reason     string    `doc:"Why it was aborted, parked or forced."                                                json:"reason,omitempty"`
	Version    int64     `doc:"Counts the transitions. Name it in an action, so that it is applied to what you saw." json:"version"`
	Pivoted    bool      `doc:"It can only go forward."                                                              json:"pivoted"`
	Stuck      int       `doc:"How many steps wait for an operator."                                                 json:"stuck"`
	Orphaned   bool      `doc:"No definition here explains it."                                                      json:"orphaned"`
	Started    time.Time `json:"started"`
	Updated    time.Time `json:"updated"`
}

// sagaStep is a step or a fan-out.
type sagaStep struct {
	Path    string    `json:"path"`
	Class   string    `doc:"Missing: a fan-out."                                          enum:"compensable,pivot,retriable" json:"class,omitempty"`
	Phase   string    `enum:"idle,doing,done,refused,unknown,undoing,undone,skipped,left" json:"phase"`
	Attempt int       `doc:"How often the present command was sent."                      json:"attempt"`
	Stuck   bool      `doc:"It waits for an operator."                                    json:"stuck"`
	Reason  string    `json:"reason,omitempty"`
	Due     time.Time `doc:"When it is looked at again."                                  json:"due,omitzero"`
	Fan     *sagaFan  `doc:"The items of a fan-out."                                      json:"fan,omitempty"`
}

type sagaFan struct {
	Total   int `json:"total"`
	Started int `json:"started"`
	Active  int `json:"active"`
	Failed  int `json:"failed"`
}

// sagaItem is the branch of one item of a fan-out.
type sagaItem struct {
	Key   string          `json:"key"`
	Data  json.RawMessage `json:"data,omitempty"`
	Steps []sagaStep      `json:"steps"          nullable:"false"`
}

type sagaLine struct {
	Version   int64     `json:"version"`
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"`
	Node      string    `json:"node,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Attempt   int       `json:"attempt,omitempty"`
	Detail    string    `json:"detail,omitempty"`
}

// sagaAudit is an operator's action that was applied.
type sagaAudit struct {
	Version int64     `doc:"The version that it led to." json:"version"`
	At      time.Time `json:"at"`
	ID      string    `json:"id"`
	Action  string    `json:"action"`
	Node    string    `json:"node,omitempty"`
	By      string    `json:"by"`
	Why     string    `json:"why"`
	Before  string    `json:"before"`
	After   string    `json:"after"`
}

// sagaDetail is an instance with all that is known of it.
type sagaDetail struct {
	sagaSummary

	Data       json.RawMessage `doc:"The saga's own data."                 json:"data,omitempty"`
	Steps      []sagaStep      `json:"steps"                               nullable:"false"`
	Items      []sagaItem      `doc:"A page of the items of its fan-outs." json:"items"          nullable:"false"`
	ItemsTotal int             `json:"itemsTotal"`
	History    []sagaLine      `doc:"A page of its story, oldest first."   json:"history"        nullable:"false"`
	Actions    []sagaAudit     `doc:"What operators did."                  json:"actions"        nullable:"false"`
}

type sagaListInput struct {
	State      string `enum:"running,compensating,parked,completed,compensated,forced" query:"state"`
	Definition string `maxLength:"100"                                                 query:"definition"`
	Key        string `doc:"The business key: a campaign's id."                        maxLength:"255"    query:"key"`
	Limit      int    `default:"50"                                                    maximum:"500"      minimum:"1"    query:"limit"`
	Cursor     string `doc:"The nextCursor of the page before. Missing: the newest."   maxLength:"500"    query:"cursor"`
}

type sagaFindInput struct {
	ID            string `maxLength:"64" path:"id"`
	ItemsOffset   int    `minimum:"0"    query:"itemsOffset"`
	ItemsLimit    int    `default:"50"   maximum:"500"         minimum:"0" query:"itemsLimit"`
	HistoryOffset int    `minimum:"0"    query:"historyOffset"`
	HistoryLimit  int    `default:"200"  maximum:"1000"        minimum:"0" query:"historyLimit"`
}

type sagaActionInput struct {
	ID   string `maxLength:"64" path:"id"`
	Body struct {
		ID      string `doc:"The action's own id: sent again, it is applied once."                json:"id"                maxLength:"100" minLength:"1"`
		Action  string `enum:"retry,skip,force,cancel"                                            json:"action"`
		Node    string `doc:"The path of the step to retry or skip. Missing: the only stuck one." json:"node,omitempty"    maxLength:"500"`
		Version int64  `doc:"The version that you saw. Zero or missing: any."                     json:"version,omitempty" minimum:"0"`
		By      string `doc:"Who acts."                                                           json:"by"                maxLength:"100" minLength:"1"`
		Why     string `doc:"For what reason."                                                    json:"why"               maxLength:"500" minLength:"1"`
	} `nameHint:"SagaAction"`
}

// The operations on sagas.
func opListSagas() huma.Operation {
	op := v1(http.MethodGet, "/v1/sagas", "list-sagas", "List sagas, newest first", http.StatusOK)
	op.Tags = []string{tagSagas}
	return op
}

func opGetSaga() huma.Operation {
	op := v1(http.MethodGet, "/v1/sagas/{id}", "get-saga", "Get one saga with its steps and its history", http.StatusOK)
	op.Tags, op.Errors = []string{tagSagas}, append(op.Errors, http.StatusNotFound)
	return op
}

func opActOnSaga() huma.Operation {
	op := v1(http.MethodPost, "/v1/sagas/{id}/actions", "act-on-saga", "Retry or skip a step, force the end, or cancel", http.StatusOK)
	op.Description = "An action is audited, applied at most once, and only to the version that it names. One that does not fit is answered 409."
	op.Tags, op.Errors = []string{tagSagas}, append(op.Errors, http.StatusNotFound, http.StatusConflict)
	return op
}

// mountSagas adds the operators' view.
func (s *server) mountSagas() {
	register(s, opListSagas(), s.listSagas)
	register(s, opGetSaga(), s.getSaga)
	act := opActOnSaga()
	if s.cfg.Actor == nil {
		act.Errors = append(act.Errors, http.StatusNotImplemented)
	}
	register(s, act, s.actOnSaga)
}

// mountSagasElsewhere answers for a coordinator that runs in another process.
func (s *server) mountSagasElsewhere() {
	mountElsewhere[sagaListInput, pageOutput[sagaSummary]](s, opListSagas())
	mountElsewhere[sagaFindInput, oneOutput[sagaDetail]](s, opGetSaga())
	mountElsewhere[sagaActionInput, oneOutput[sagaSummary]](s, opActOnSaga())
}

func mountElsewhere[I, O any](s *server, op huma.Operation) {
	op.Errors = append(op.Errors, http.StatusNotImplemented)
	register(s, op, func(context.Context, *I) (*O, error) { return nil, s.notHere() })
}

func (s *server) notHere() error {
	detail := "the saga coordinator does not run in this server: ask the campaign service"
	if s.cfg.SagasAt != "" {
		detail += " at " + s.cfg.SagasAt
	}
	return huma.Error501NotImplemented(detail)
}

func (s *server) listSagas(ctx context.Context, in *sagaListInput) (*pageOutput[sagaSummary], error) {
	found, next, err := s.cfg.Sagas.List(ctx, coordinator.ListQuery{
		Definition: in.Definition, Status: saga.Status(in.State), Key: in.Key, Cursor: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, s.blameCursor(ctx, in.Cursor, err)
	}
	out := &pageOutput[sagaSummary]{Body: page[sagaSummary]{Items: make([]sagaSummary, len(found)), NextCursor: next}}
	for i, state := range found {
		out.Body.Items[i] = summarize(state)
	}
	if next != "" {
		query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {next}}
		for name, value := range map[string]string{"state": in.State, "definition": in.Definition, "key": in.Key} {
			if value != "" {
				query.Set(name, value)
			}
		}
		out.Link = nextLink("/v1/sagas", query)
	}
	return out, nil
}

// blameCursor tells a malformed cursor from a store that fails: then it fails without the cursor, too.
func (s *server) blameCursor(ctx context.Context, cursor string, err error) error {
	if cursor == "" {
		return err
	}
	if _, _, again := s.cfg.Sagas.List(ctx, coordinator.ListQuery{Limit: 1}); again != nil {
		return err
	}
	return errCursor
}

func (s *server) getSaga(ctx context.Context, in *sagaFindInput) (*oneOutput[sagaDetail], error) {
	if !isID(in.ID) {
		return nil, saga.ErrNotFound
	}
	id := saga.ID(in.ID)
	state, err := s.cfg.Sagas.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	d := sagaDetail{
		sagaSummary: summarize(state), Data: state.Root.Data, Steps: s.steps(state),
		Items: []sagaItem{}, History: []sagaLine{}, Actions: []sagaAudit{},
	}
	for _, n := range state.Root.Nodes {
		if n.Fan != nil {
			d.ItemsTotal += n.Fan.Total
		}
	}
	if in.ItemsLimit > 0 {
		items, err := s.cfg.Sagas.Items(ctx, id, in.ItemsOffset, in.ItemsLimit)
		if err != nil {
			return nil, err
		}
		for _, r := range items {
			one := saga.State{Definition: state.Definition, Hash: state.Hash, Items: map[string]saga.Record{r.Key: r}}
			d.Items = append(d.Items, sagaItem{Key: r.Key, Data: r.Data, Steps: s.steps(one)})
		}
	}
	if in.HistoryLimit > 0 {
		lines, err := s.cfg.Sagas.History(ctx, id, in.HistoryOffset, in.HistoryLimit)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			d.History = append(d.History, sagaLine{
				Version: l.Version, At: l.At, Kind: string(l.Kind), Node: l.Node, Direction: string(l.Direction), Attempt: l.Attempt, Detail: l.Detail,
			})
		}
	}
	audits, err := s.cfg.Sagas.Audits(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, a := range audits {
		d.Actions = append(d.Actions, sagaAudit{
			Version: a.Version, At: a.At, ID: a.Act.ID, Action: string(a.Act.Action), Node: a.Act.Node,
			By: a.Act.By, Why: a.Act.Why, Before: a.Before, After: a.After,
		})
	}
	return &oneOutput[sagaDetail]{Body: d}, nil
}

func (s *server) actOnSaga(ctx context.Context, in *sagaActionInput) (*oneOutput[sagaSummary], error) {
	if s.cfg.Actor == nil {
		return nil, s.notHere()
	}
	if !isID(in.ID) {
		return nil, saga.ErrNotFound
	}
	state, err := s.cfg.Actor.Act(ctx, saga.ID(in.ID), saga.Act{
		ID: in.Body.ID, Action: saga.Action(in.Body.Action), Node: in.Body.Node, Version: in.Body.Version, By: in.Body.By, Why: in.Body.Why,
	})
	if err != nil {
		return nil, err
	}
	return &oneOutput[sagaSummary]{Body: summarize(state)}, nil
}

// steps returns the steps of the records in the state; none where no definition explains them.
func (s *server) steps(state saga.State) []sagaStep {
	steps := []sagaStep{}
	for _, def := range s.cfg.Definitions {
		if def.Name() != state.Definition || def.Hash() != state.Hash {
			continue
		}
		for _, n := range saga.View(def, state) {
			steps = append(steps, stepOf(n))
		}
	}
	return steps
}

func stepOf(n saga.NodeView) sagaStep {
	step := sagaStep{
		Path: n.Path, Class: string(n.Class), Phase: string(n.State.Phase),
		Attempt: n.State.Attempt, Stuck: n.State.Stuck, Reason: n.State.Reason,
	}
	if n.State.Phase == saga.PhaseIdle {
		step.Phase = "idle"
	}
	if n.State.Due > 0 {
		step.Due = time.UnixMilli(n.State.Due).UTC()
	}
	if f := n.State.Fan; f != nil {
		step.Fan = &sagaFan{Total: f.Total, Started: f.Started, Active: f.Active, Failed: f.Failed}
	}
	return step
}

func summarize(s saga.State) sagaSummary {
	return sagaSummary{
		ID: string(s.ID), Definition: s.Definition, Hash: s.Hash, Key: s.Key, State: string(s.Status), Reason: s.Reason,
		Version: s.Version, Pivoted: s.Pivoted, Stuck: s.Stuck, Orphaned: s.Orphaned, Started: s.Started, Updated: s.Updated,
	}
}
