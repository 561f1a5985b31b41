package web

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/picture"
)

// sagaSummary is an instance in a list.
type sagaSummary struct {
	ID           string    `json:"id"`
	Definition   string    `json:"definition"`
	Hash         string    `doc:"The hash of the definition that the instance is pinned to."                                                    json:"hash"`
	Coordination string    `doc:"Who sends its commands: a coordinator, or each service its own. Missing where no definition here explains it." enum:"orchestrated,choreographed"                                  json:"coordination,omitempty"`
	Key          string    `doc:"The business key: a campaign's id."                                                                            json:"key,omitempty"`
	State        string    `enum:"running,compensating,parked,completed,compensated,forced"                                                     json:"state"`
	Reason       string    `doc:"Why it was aborted, parked or forced."                                                                         json:"reason,omitempty"`
	Version      int64     `doc:"Counts the transitions. Name it in an action, so that it is applied to what you saw."                          json:"version"`
	Pivoted      bool      `doc:"It can only go forward."                                                                                       json:"pivoted"`
	Stuck        int       `doc:"How many nodes wait for an operator."                                                                          json:"stuck"`
	Orphaned     bool      `doc:"No definition here explains it."                                                                               json:"orphaned"`
	Started      time.Time `json:"started"`
	Updated      time.Time `json:"updated"`
}

// sagaStep is a node of an instance that has a state: all but sequences.
type sagaStep struct {
	Path    string    `json:"path"`
	Kind    string    `enum:"step,parallel,for-each,wait,sleep,if"                                                                        json:"kind"`
	Class   string    `doc:"Of a step."                                                                                                   enum:"compensable,pivot,retriable" json:"class,omitempty"`
	Service string    `doc:"Of a step: who carries it out."                                                                               json:"service,omitempty"`
	Phase   string    `enum:"idle,doing,waiting,done,refused,unknown,undoing,undone,skipped,left"                                         json:"phase"`
	Attempt int       `doc:"How often the present command was sent, or was awaited of another service."                                   json:"attempt"`
	Stuck   bool      `doc:"It waits for an operator."                                                                                    json:"stuck"`
	Reason  string    `json:"reason,omitempty"`
	Due     time.Time `doc:"When it is looked at again; of a node that waits, when that ends."                                            json:"due,omitzero"`
	Taken   string    `doc:"Of an if that has chosen: its way."                                                                           enum:"then,else"                   json:"taken,omitempty"`
	Kept    bool      `doc:"Of a wait: its signal came before its turn, and is kept until then."                                          json:"kept,omitempty"`
	Fan     *sagaFan  `doc:"The items of a fan-out that has begun."                                                                       json:"fan,omitempty"`
}

type sagaFan struct {
	Total     int `json:"total"`
	Started   int `json:"started"`
	Active    int `doc:"Started and not settled."                                      json:"active"`
	Failed    int `doc:"Failed, those that are tolerated included."                    json:"failed"`
	Tolerates int `doc:"How many may fail, each undone on its own, before all fail."  json:"tolerates"`
}

// sagaItem is the branch of one item of a fan-out.
type sagaItem struct {
	Key   string          `json:"key"`
	Data  json.RawMessage `doc:"As JSON, however it is stored. Missing where it cannot be read here." json:"data,omitempty"`
	Steps []sagaStep      `json:"steps"                                                               nullable:"false"`
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

	Data       json.RawMessage `doc:"The saga's own data as JSON, however it is stored. Missing where it cannot be read here." json:"data,omitempty"`
	Steps      []sagaStep      `json:"steps"                               nullable:"false"`
	Items      []sagaItem      `doc:"A page of the items of its fan-outs." json:"items"          nullable:"false"`
	ItemsTotal int             `json:"itemsTotal"`
	History    []sagaLine      `doc:"A page of its story, oldest first."   json:"history"        nullable:"false"`
	Actions    []sagaAudit     `doc:"What operators did."                  json:"actions"        nullable:"false"`
}

type sagaListInput struct {
	Party      string `doc:"A service's own part in choreographed sagas: campaign, partner or tracking. Missing: the coordinator's view." maxLength:"50" query:"party"`
	State      string `enum:"running,compensating,parked,completed,compensated,forced" query:"state"`
	Definition string `maxLength:"100"                                                 query:"definition"`
	Key        string `doc:"The business key: a campaign's id."                        maxLength:"255"    query:"key"`
	Limit      int    `default:"50"                                                    maximum:"500"      minimum:"1"    query:"limit"`
	Cursor     string `doc:"The nextCursor of the page before. Missing: the newest."   maxLength:"500"    query:"cursor"`
}

type sagaFindInput struct {
	Party         string `doc:"A service's own part in choreographed sagas: campaign, partner or tracking. Missing: the coordinator's view." maxLength:"50" query:"party"`
	ID            string `maxLength:"64" path:"id"`
	ItemsOffset   int    `minimum:"0"    query:"itemsOffset"`
	ItemsLimit    int    `default:"50"   maximum:"500"         minimum:"0" query:"itemsLimit"`
	HistoryOffset int    `minimum:"0"    query:"historyOffset"`
	HistoryLimit  int    `default:"200"  maximum:"1000"        minimum:"0" query:"historyLimit"`
}

type sagaTimelineInput struct {
	Party         string `doc:"A service's own part in choreographed sagas: campaign, partner or tracking. Missing: the coordinator's view." maxLength:"50" query:"party"`
	ID            string `maxLength:"64" path:"id"`
	HistoryOffset int    `minimum:"0"    query:"historyOffset"`
	HistoryLimit  int    `default:"1000" maximum:"10000"       minimum:"1" query:"historyLimit"`
}

type sagaDiagramInput struct {
	Party string `doc:"A service's own part in choreographed sagas: campaign, partner or tracking. Missing: the coordinator's view." maxLength:"50" query:"party"`
	ID    string `maxLength:"64" path:"id"`
}

type definitionDiagramInput struct {
	Name string `maxLength:"100" path:"name"`
	Hash string `doc:"The version, as the hash of its instances. Missing: the one that new instances begin with." maxLength:"64" query:"hash"`
}

// textOutput is a text that is no JSON.
type textOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func plainText(text string) *textOutput {
	return &textOutput{ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
}

// mountSagas adds the operators' view. Where the coordinator runs in another process, it is answered that it does.
func (s *server) mountSagas() {
	op := func(path, id, summary string) huma.Operation {
		op := s.sagaOperation(http.MethodGet, path, id, summary, s.cfg.Sagas != nil)
		if strings.Contains(path, "{") {
			op.Errors = append(op.Errors, http.StatusNotFound)
		}
		return op
	}
	text := func(op huma.Operation) huma.Operation {
		op.Responses = map[string]*huma.Response{"200": {Description: "Plain text", Content: map[string]*huma.MediaType{
			"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}},
		}}}
		return op
	}
	register(s, op("/v1/sagas", "list-sagas", "List sagas, newest first"), s.listSagas)
	register(s, op("/v1/sagas/{id}", "get-saga", "Get one saga with its nodes and its history"), s.getSaga)
	register(s, text(op("/v1/sagas/{id}/diagram", "draw-saga", "Draw one saga as a Mermaid flowchart")), s.drawSaga)
	register(s, text(op("/v1/sagas/{id}/timeline", "tell-saga", "Tell one saga's history as text")), s.tellSaga)
	draw := text(op("/v1/definitions/{name}/diagram", "draw-definition", "Draw a definition as a Mermaid flowchart"))
	register(s, draw, s.drawDefinition)
}

// sagaOperation describes an operation for operators; here says that there is somebody here to do it.
func (s *server) sagaOperation(method, path, id, summary string, here bool) huma.Operation {
	op := v1(method, path, id, summary, http.StatusOK)
	op.Tags = []string{tagSagas}
	if !here {
		op.Errors = append(op.Errors, http.StatusNotImplemented)
	}
	return op
}

func (s *server) notHere() error {
	detail := "the saga coordinator does not run in this server: ask the campaign service"
	if s.cfg.SagasAt != "" {
		detail += " at " + s.cfg.SagasAt
	}
	return huma.Error501NotImplemented(detail)
}

// sagas is the view that the request means.
func (s *server) sagas(party string) (coordinator.Reader, error) {
	if party == "" {
		if s.cfg.Sagas == nil {
			return nil, s.notHere()
		}
		return s.cfg.Sagas, nil
	}
	p, err := s.party(party)
	return p.Sagas, err
}

func (s *server) party(service string) (Party, error) {
	party, ok := s.cfg.Parties[service]
	if !ok {
		return party, invalid(fault("query.party", fmt.Sprintf("is no service that runs here: use one of %v, or none", slices.Sorted(maps.Keys(s.cfg.Parties)))))
	}
	return party, nil
}

func (s *server) listSagas(ctx context.Context, in *sagaListInput) (*pageOutput[sagaSummary], error) {
	sagas, err := s.sagas(in.Party)
	if err != nil {
		return nil, err
	}
	found, next, err := sagas.List(ctx, coordinator.ListQuery{
		Definition: in.Definition, Status: saga.Status(in.State), Key: in.Key, Cursor: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, blameCursor(ctx, sagas, in.Cursor, err)
	}
	out := &pageOutput[sagaSummary]{Body: page[sagaSummary]{Items: make([]sagaSummary, len(found)), NextCursor: next}}
	for i, state := range found {
		out.Body.Items[i] = s.summarize(state)
	}
	if next != "" {
		query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {next}}
		for name, value := range map[string]string{"state": in.State, "definition": in.Definition, "key": in.Key, "party": in.Party} {
			if value != "" {
				query.Set(name, value)
			}
		}
		out.Link = nextLink("/v1/sagas", query)
	}
	return out, nil
}

// blameCursor tells a malformed cursor from a store that fails: then it fails without the cursor, too.
func blameCursor(ctx context.Context, sagas coordinator.Reader, cursor string, err error) error {
	if cursor == "" {
		return err
	}
	if _, _, again := sagas.List(ctx, coordinator.ListQuery{Limit: 1}); again != nil {
		return err
	}
	return errCursor
}

// find returns the instance and the reader that knows it.
func (s *server) find(ctx context.Context, party, id string) (coordinator.Reader, saga.State, error) {
	sagas, err := s.sagas(party)
	switch {
	case err != nil:
		return nil, saga.State{}, err
	case !isID(id):
		return nil, saga.State{}, saga.ErrNotFound
	}
	state, err := sagas.Get(ctx, saga.ID(id))
	return sagas, state, err
}

func (s *server) getSaga(ctx context.Context, in *sagaFindInput) (*oneOutput[sagaDetail], error) {
	sagas, state, err := s.find(ctx, in.Party, in.ID)
	if err != nil {
		return nil, err
	}
	d := sagaDetail{
		sagaSummary: s.summarize(state), Data: s.data(state, state.Root), Steps: s.steps(state),
		Items: []sagaItem{}, History: []sagaLine{}, Actions: []sagaAudit{},
	}
	for _, n := range state.Root.Nodes {
		if n.Fan != nil {
			d.ItemsTotal += n.Fan.Total
		}
	}
	if in.ItemsLimit > 0 {
		items, err := sagas.Items(ctx, state.ID, in.ItemsOffset, in.ItemsLimit)
		if err != nil {
			return nil, err
		}
		for _, r := range items {
			one := saga.State{Definition: state.Definition, Hash: state.Hash, Items: map[string]saga.Record{r.Key: r}}
			d.Items = append(d.Items, sagaItem{Key: r.Key, Data: s.data(state, r), Steps: s.steps(one)})
		}
	}
	if in.HistoryLimit > 0 {
		lines, err := sagas.History(ctx, state.ID, in.HistoryOffset, in.HistoryLimit)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			d.History = append(d.History, sagaLine{
				Version: l.Version, At: l.At, Kind: string(l.Kind), Node: l.Node, Direction: string(l.Direction), Attempt: l.Attempt, Detail: l.Detail,
			})
		}
	}
	audits, err := sagas.Audits(ctx, state.ID)
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

// drawnItems is how many items a diagram chooses those from that it shows.
const drawnItems = 500

func (s *server) drawSaga(ctx context.Context, in *sagaDiagramInput) (*textOutput, error) {
	sagas, state, err := s.find(ctx, in.Party, in.ID)
	if err != nil {
		return nil, err
	}
	def := s.definition(state.Definition, state.Hash)
	if def == nil { // another version is drawn with the status alone
		def = s.definition(state.Definition, "")
	}
	if def == nil {
		return nil, fmt.Errorf("%w: no version of %s is here", saga.ErrUnknownDefinition, state.Definition)
	}
	items, err := sagas.Items(ctx, state.ID, 0, drawnItems)
	if err != nil {
		return nil, err
	}
	state.Items = make(map[string]saga.Record, len(items))
	for _, r := range items {
		state.Items[r.Key] = r
	}
	return plainText(picture.Instance(def, state)), nil
}

func (s *server) tellSaga(ctx context.Context, in *sagaTimelineInput) (*textOutput, error) {
	sagas, state, err := s.find(ctx, in.Party, in.ID)
	if err != nil {
		return nil, err
	}
	history, err := sagas.History(ctx, state.ID, in.HistoryOffset, in.HistoryLimit)
	if err != nil {
		return nil, err
	}
	lines := make([]picture.Line, len(history))
	for i, l := range history {
		lines[i] = picture.Line{At: l.At, Version: l.Version, Log: l.Log}
	}
	return plainText(picture.Timeline(lines)), nil
}

func (s *server) drawDefinition(_ context.Context, in *definitionDiagramInput) (*textOutput, error) {
	def := s.definition(in.Name, in.Hash)
	if def == nil {
		return nil, huma.Error404NotFound("there is no such definition, or no such version of it")
	}
	return plainText(picture.Mermaid(def)), nil
}

// explained is a definition with its nodes' descriptions by path.
type explained struct {
	def   saga.Any
	how   saga.Coordination
	nodes map[string]saga.NodeDescription
}

func explain(definitions []saga.Any) []explained {
	all := make([]explained, len(definitions))
	for i, def := range definitions {
		all[i] = explained{def: def, how: saga.CoordinationOf(def), nodes: map[string]saga.NodeDescription{}}
		var add func([]saga.NodeDescription)
		add = func(nodes []saga.NodeDescription) {
			for _, n := range nodes {
				all[i].nodes[n.Path] = n
				add(n.Nodes)
			}
		}
		add(def.Describe().Nodes)
	}
	return all
}

// explanation finds the definition with that name and hash, or with an empty hash the first with the name; nil if there is none.
func (s *server) explanation(name, hash string) *explained {
	for i := range s.explained {
		if def := s.explained[i].def; def.Name() == name && (hash == "" || def.Hash() == hash) {
			return &s.explained[i]
		}
	}
	return nil
}

func (s *server) definition(name, hash string) saga.Any {
	if e := s.explanation(name, hash); e != nil {
		return e.def
	}
	return nil
}

// data is a record's as JSON. What no definition here can read is shown if it is JSON by itself.
func (s *server) data(state saga.State, r saga.Record) json.RawMessage {
	if def := s.definition(state.Definition, state.Hash); def != nil {
		text, err := saga.DataJSON(def, r)
		if err != nil {
			return nil
		}
		return text
	}
	if json.Valid(r.Data) {
		return r.Data
	}
	return nil
}

// steps returns the nodes of the records in the state; none where no definition explains them.
func (s *server) steps(state saga.State) []sagaStep {
	steps := []sagaStep{}
	e := s.explanation(state.Definition, state.Hash)
	if e == nil {
		return steps
	}
	for _, n := range saga.View(e.def, state) {
		steps = append(steps, stepOf(n, e.nodes[withoutNumbers(n.Path)]))
	}
	return steps
}

// withoutNumbers is the path in the definition of an instance's node: "rooms/room" of "rooms[3]/room".
func withoutNumbers(path string) string {
	for {
		before, rest, found := strings.Cut(path, "[")
		if !found {
			return path
		}
		_, after, _ := strings.Cut(rest, "]")
		path = before + after
	}
}

func stepOf(n saga.NodeView, d saga.NodeDescription) sagaStep {
	step := sagaStep{
		Path: n.Path, Kind: string(n.Kind), Class: string(n.Class), Service: d.Service, Phase: string(n.State.Phase),
		Attempt: n.State.Attempt, Stuck: n.State.Stuck, Reason: n.State.Reason, Kept: n.State.Signal != nil,
	}
	if n.State.Phase == saga.PhaseIdle {
		step.Phase = "idle"
	}
	if n.State.Due > 0 {
		step.Due = time.UnixMilli(n.State.Due).UTC()
	}
	switch n.State.Taken {
	case 1:
		step.Taken = "then"
	case 2:
		step.Taken = "else"
	}
	if f := n.State.Fan; f != nil {
		step.Fan = &sagaFan{Total: f.Total, Started: f.Started, Active: f.Active, Failed: f.Failed, Tolerates: d.Tolerate}
	}
	return step
}

func (s *server) summarize(state saga.State) sagaSummary {
	summary := sagaSummary{
		ID: string(state.ID), Definition: state.Definition, Hash: state.Hash, Key: state.Key, State: string(state.Status), Reason: state.Reason,
		Version: state.Version, Pivoted: state.Pivoted, Stuck: state.Stuck, Orphaned: state.Orphaned, Started: state.Started, Updated: state.Updated,
	}
	if e := s.explanation(state.Definition, state.Hash); e != nil {
		summary.Coordination = "orchestrated"
		if e.how.Choreographed {
			summary.Coordination = "choreographed"
		}
	}
	return summary
}
