package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

type sagaActionInput struct {
	Party string `doc:"A service's own part in choreographed sagas: campaign, partner or tracking. Missing: the coordinator's view." maxLength:"50" query:"party"`
	ID    string `maxLength:"64" path:"id"`
	Body  struct {
		ID      string          `doc:"The action's own id: sent again, it is applied once."                                                                             json:"id"                maxLength:"100" minLength:"1"`
		Action  string          `enum:"retry,skip,edit,force,cancel"                                                                                                    json:"action"`
		Node    string          `doc:"The path of the node to retry or skip; missing: the only stuck one. Of an edit, the key of the item; missing: the saga's own data." json:"node,omitempty"    maxLength:"500"`
		Version int64           `doc:"The version that you saw. Zero or missing: any."                                                                                  json:"version,omitempty" minimum:"0"`
		Data    json.RawMessage `doc:"Of an edit, and of nothing else: the new data, whole, a JSON object."                                                             json:"data,omitempty"`
		By      string          `doc:"Who acts."                                                                                                                        json:"by"                maxLength:"100" minLength:"1"`
		Why     string          `doc:"For what reason."                                                                                                                 json:"why"               maxLength:"500" minLength:"1"`
	} `nameHint:"SagaAction"`
}

// pauseV1 is a pause of a definition, or of all.
type pauseV1 struct {
	Definition  string    `doc:"Missing: all definitions."                                  json:"definition,omitempty"`
	State       string    `doc:"Released says that everything that was held has gone out." enum:"paused,releasing,released" json:"state"`
	At          time.Time `json:"at"`
	By          string    `json:"by"`
	Why         string    `json:"why"`
	Released    time.Time `json:"released,omitzero"`
	ReleasedBy  string    `json:"releasedBy,omitempty"`
	ReleasedWhy string    `json:"releasedWhy,omitempty"`
	Rate        int       `doc:"How many held sagas were released in a second. Zero: all at once." json:"rate"`
}

type pausesInput struct {
	Offset int `minimum:"0"  query:"offset"`
	Limit  int `default:"50" maximum:"500"  minimum:"1" query:"limit"`
}

type pausesOutput struct {
	Body struct {
		Items []pauseV1 `json:"items" nullable:"false"`
	}
}

type pauseInput struct {
	Body struct {
		Definition string `doc:"The definition to pause. Missing: all." json:"definition,omitempty" maxLength:"100"`
		By         string `doc:"Who acts."                              json:"by"                   maxLength:"100" minLength:"1"`
		Why        string `doc:"For what reason."                       json:"why"                  maxLength:"500" minLength:"1"`
	} `nameHint:"NewPause"`
}

type releaseInput struct {
	Body struct {
		Definition string `doc:"The definition to release. Missing: what was paused for all."                     json:"definition,omitempty" maxLength:"100"`
		Rate       int    `doc:"How many held sagas to release in a second. Zero or missing: all at once." json:"rate,omitempty"       maximum:"1000000" minimum:"0"`
		By         string `doc:"Who acts."                                                                        json:"by"                   maxLength:"100"   minLength:"1"`
		Why        string `doc:"For what reason."                                                                 json:"why"                  maxLength:"500"   minLength:"1"`
	} `nameHint:"Release"`
}

// mountOperators adds what operators do.
func (s *server) mountOperators() {
	op := s.sagaOperation(http.MethodPost, "/v1/sagas/{id}/actions", "act-on-saga", "Retry or skip a node, edit the data, force the end, or cancel", s.cfg.Actor != nil)
	op.Description = "An action is audited, applied at most once, and only to the version that it names. One that does not fit is answered 409."
	op.Errors = append(op.Errors, http.StatusNotFound, http.StatusConflict)
	register(s, op, s.actOnSaga)

	register(s, s.sagaOperation(http.MethodGet, "/v1/pauses", "list-pauses", "List pauses, newest first", s.cfg.Sagas != nil), s.listPauses)
	op = s.sagaOperation(http.MethodPost, "/v1/pauses", "pause", "Pause a definition", s.cfg.Pauser != nil)
	op.Description = "Its sagas send nothing until it is released; what arrives for them is recorded. Of choreographed sagas that goes for every service that runs here."
	op.Errors = append(op.Errors, http.StatusNotFound, http.StatusConflict)
	register(s, op, s.pause)
	op = s.sagaOperation(http.MethodPost, "/v1/pauses/release", "release", "Release a paused definition", s.cfg.Pauser != nil)
	op.Errors = append(op.Errors, http.StatusNotFound, http.StatusConflict)
	register(s, op, s.release)
}

func (s *server) actOnSaga(ctx context.Context, in *sagaActionInput) (*oneOutput[sagaSummary], error) {
	actor := s.cfg.Actor
	if in.Party != "" {
		party, err := s.party(in.Party)
		if err != nil {
			return nil, err
		}
		actor = party.Actor
	}
	switch b, edit := in.Body, in.Body.Action == string(saga.Edit); {
	case actor == nil:
		return nil, s.notHere()
	case edit && (len(b.Data) == 0 || b.Data[0] != '{'):
		return nil, invalid(fault("body.data", "is no JSON object: give the new data, whole"))
	case !edit && len(b.Data) > 0:
		return nil, invalid(fault("body.data", "belongs to an edit: leave it out"))
	case !isID(in.ID):
		return nil, saga.ErrNotFound
	}
	act := saga.Act{
		ID: in.Body.ID, Action: saga.Action(in.Body.Action), Node: in.Body.Node, Data: string(in.Body.Data),
		Version: in.Body.Version, By: in.Body.By, Why: in.Body.Why,
	}
	state, err := actor.Act(ctx, saga.ID(in.ID), act)
	if err == nil && act.Action == saga.Force && in.Party == "" {
		err = s.forceParties(ctx, saga.ID(in.ID), act)
	}
	if err != nil {
		return nil, unfitData(err)
	}
	return &oneOutput[sagaSummary]{Body: s.summarize(state)}, nil
}

// forceParties ends a choreographed saga with every service that runs here, too: the coordinator only watches it. A party that does not
// know the saga, or has ended it, has nothing to end.
func (s *server) forceParties(ctx context.Context, id saga.ID, act saga.Act) error {
	act.Version = 0 // that of the coordinator's view
	var failed []error
	for _, service := range slices.Sorted(maps.Keys(s.cfg.Parties)) {
		actor := s.cfg.Parties[service].Actor
		if actor == nil {
			continue
		}
		_, err := actor.Act(ctx, id, act)
		if err != nil && !errors.Is(err, saga.ErrNotFound) && !errors.Is(err, saga.ErrNotAllowed) {
			failed = append(failed, fmt.Errorf("%s: %w", service, err))
		}
	}
	return errors.Join(failed...)
}

// unfitData names the field at fault where an edit's data is not what its type wants; any other error it returns as it is.
func unfitData(err error) error {
	if !errors.Is(err, saga.ErrNotAllowed) {
		return err
	}
	const unknownField = `json: unknown field "`
	if broken, ok := errors.AsType[*rule.Error](err); ok {
		faults := make([]*huma.ErrorDetail, len(broken.Faults))
		for i, f := range broken.Faults {
			faults[i] = fault("body.data."+f.Field, f.Problem+": "+f.Fix)
		}
		return invalid(faults...)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return invalid(fault("body.data."+wrong.Field, fmt.Sprintf("is a JSON %s, which does not fit %s", kindOf(wrong.Value), wrong.Type)))
	}
	if _, name, ok := strings.Cut(err.Error(), unknownField); ok {
		name, _, _ = strings.Cut(name, `"`)
		return invalid(fault("body.data."+name, "is no field of the data: leave it out"))
	}
	if errors.Is(err, saga.ErrTooLarge) {
		return invalid(fault("body.data", "is too large: shorten it"))
	}
	return err
}

// kindOf is what was found instead, without the value that the text may name.
func kindOf(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return kind
}

func (s *server) listPauses(ctx context.Context, in *pausesInput) (*pausesOutput, error) {
	if s.cfg.Sagas == nil {
		return nil, s.notHere()
	}
	history, err := s.cfg.Sagas.PauseHistory(ctx, in.Offset, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &pausesOutput{}
	out.Body.Items = make([]pauseV1, len(history))
	for i, p := range history {
		out.Body.Items[i] = pauseToV1(p)
	}
	return out, nil
}

func pauseToV1(p coordinator.Pause) pauseV1 {
	v := pauseV1{
		Definition: p.Definition, State: "paused", At: p.At, By: p.By, Why: p.Why,
		Released: p.Released, ReleasedBy: p.ReleasedBy, ReleasedWhy: p.ReleasedWhy, Rate: p.Rate,
	}
	switch {
	case p.Done:
		v.State = "released"
	case !p.Released.IsZero():
		v.State = "releasing"
	}
	return v
}

func (s *server) pause(ctx context.Context, in *pauseInput) (*oneOutput[pauseV1], error) {
	b := in.Body
	latest, err := s.latestPause(ctx, b.Definition)
	switch {
	case err != nil:
		return nil, err
	case latest != nil && latest.Released.IsZero():
		return nil, huma.Error409Conflict(fmt.Sprintf("%s paused since %s, by %s", named(b.Definition), latest.At.UTC().Format(time.RFC3339), latest.By))
	}
	if err := s.cfg.Pauser.Pause(ctx, b.Definition, b.By, b.Why); err != nil {
		return nil, unpausable(b.Definition, err)
	}
	return s.shown(ctx, b.Definition)
}

func (s *server) release(ctx context.Context, in *releaseInput) (*oneOutput[pauseV1], error) {
	b := in.Body
	latest, err := s.latestPause(ctx, b.Definition)
	if err != nil {
		return nil, err
	}
	if latest == nil || latest.Done { // an unknown definition is told as such
		if !s.defines(b.Definition) {
			return nil, unpausable(b.Definition, saga.ErrUnknownDefinition)
		}
		return nil, huma.Error409Conflict(named(b.Definition) + " not paused")
	}
	if err := s.cfg.Pauser.Resume(ctx, b.Definition, b.Rate, b.By, b.Why); err != nil {
		return nil, unpausable(b.Definition, err)
	}
	return s.shown(ctx, b.Definition)
}

// named begins a sentence about the definition.
func named(definition string) string {
	if definition == "" {
		return "all definitions together are"
	}
	return definition + " is"
}

func (s *server) defines(definition string) bool {
	return definition == "" || s.explanation(definition, "") != nil
}

// unpausable says what is wrong with a request about pauses.
func unpausable(definition string, err error) error {
	switch {
	case errors.Is(err, saga.ErrUnknownDefinition):
		return huma.Error404NotFound("there is no definition " + definition + " here")
	case errors.Is(err, coordinator.ErrUnwanted):
		return huma.Error422UnprocessableEntity(err.Error())
	default:
		return err
	}
}

// latestPause returns the definition's last pause, nil if it never had one.
func (s *server) latestPause(ctx context.Context, definition string) (*coordinator.Pause, error) {
	if s.cfg.Pauser == nil {
		return nil, s.notHere()
	}
	const page = 500
	for offset := 0; ; offset += page {
		history, err := s.cfg.Sagas.PauseHistory(ctx, offset, page)
		if err != nil {
			return nil, err
		}
		for i := range history {
			if history[i].Definition == definition {
				return &history[i], nil
			}
		}
		if len(history) < page {
			return nil, nil //nolint:nilnil // it never had one
		}
	}
}

// shown answers with the definition's last pause.
func (s *server) shown(ctx context.Context, definition string) (*oneOutput[pauseV1], error) {
	latest, err := s.latestPause(ctx, definition)
	if err != nil {
		return nil, err
	}
	if latest == nil {
		return nil, errors.New("web: the pause is not in the history")
	}
	return &oneOutput[pauseV1]{Body: pauseToV1(*latest)}, nil
}
