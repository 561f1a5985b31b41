package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

const problemType = "application/problem+json"

// maxDetails bounds the errors that one problem lists.
const maxDetails = 100

// errUnavailable says that the broker did not confirm a command.
var errUnavailable = errors.New("web: the broker did not confirm the command")

// fault returns the detail for one field, at a path such as "body.nombre".
func fault(location, message string) *huma.ErrorDetail {
	return &huma.ErrorDetail{Location: location, Message: message}
}

// invalid returns the error of a request that breaks rules.
func invalid(faults ...*huma.ErrorDetail) error {
	all := make([]error, len(faults))
	for i, f := range faults {
		all[i] = f
	}
	return huma.Error422UnprocessableEntity("validation failed", all...)
}

// brokenRules returns the error of a body that the domain refuses.
func brokenRules(broken *rule.Error) error {
	faults := make([]*huma.ErrorDetail, len(broken.Faults))
	for i, f := range broken.Faults {
		faults[i] = fault("body."+f.Field, f.Problem+": "+f.Fix)
	}
	return invalid(faults...)
}

// failure returns err as the client is told of it. What it cannot do anything about is logged, not told.
func (s *server) failure(ctx context.Context, op huma.Operation, err error) error {
	var told huma.StatusError
	var broken *rule.Error
	switch {
	case errors.As(err, &told):
		return err
	case errors.As(err, &broken):
		return brokenRules(broken)
	case isAny(err, campaign.ErrCursor, partner.ErrCursor, tracking.ErrCursor, errCursor):
		return invalid(fault("query.cursor", "is no cursor of this list: take the one of the page before, or none"))
	case isAny(err, campaign.ErrNotFound, partner.ErrNotFound, tracking.ErrNotFound):
		return huma.Error404NotFound("there is nothing with that id")
	case errors.Is(err, saga.ErrNotFound):
		return huma.Error404NotFound("there is no such saga, or no such node in it")
	case isAny(err, saga.ErrConflict, saga.ErrNotAllowed, saga.ErrUnknownDefinition, saga.ErrEarly):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, saga.ErrData):
		return huma.Error409Conflict("the saga's data cannot be used by this version of the server: edit it, or deploy one that can")
	case errors.Is(err, avromsg.ErrUnencodable):
		return invalid(fault("body", err.Error()))
	}
	status, detail := http.StatusInternalServerError, "something went wrong here: try again later"
	switch {
	case isAny(err, errUnavailable, messaging.ErrClosed, coordinator.ErrClosed):
		status, detail = http.StatusServiceUnavailable, "the command was not confirmed, but may have been taken: look before you send it again"
	case errors.Is(err, errUpstream):
		status, detail = http.StatusBadGateway, "the service that knows the answer could not be asked: try again later"
	case errors.Is(err, context.DeadlineExceeded):
		status, detail = http.StatusServiceUnavailable, "it took too long: try again later"
	}
	if !errors.Is(err, context.Canceled) {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "request failed",
			slog.String("operation", op.OperationID), slog.String("error", err.Error()))
	}
	problem := huma.NewError(status, detail)
	if status == http.StatusInternalServerError {
		return problem
	}
	return huma.ErrorWithHeaders(problem, http.Header{"Retry-After": {"5"}})
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// tidy is the transformer of all answers: in problems it names the field of a missing property, says in the detail what comes
// first, bounds the list, and drops the values that were sent.
func tidy(_ huma.Context, _ string, v any) (any, error) {
	problem, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	tidied := *problem
	tidied.Errors = nil
	for _, e := range problem.Errors[:min(len(problem.Errors), maxDetails)] {
		if e != nil {
			tidied.Errors = append(tidied.Errors, tidyDetail(*e))
		}
	}
	if more := len(problem.Errors) - maxDetails; more > 0 {
		tidied.Errors = append(tidied.Errors, fault("", fmt.Sprintf("and %d more", more)))
	}
	if len(tidied.Errors) > 0 {
		first := tidied.Errors[0]
		tidied.Detail += strings.TrimRight(": "+first.Location, ": ") + ": " + first.Message
	}
	return &tidied, nil
}

func tidyDetail(e huma.ErrorDetail) *huma.ErrorDetail {
	before, after, _ := strings.Cut(validation.MsgExpectedRequiredProperty, "%s")
	if name, ok := strings.CutPrefix(e.Message, before); ok {
		if name, ok = strings.CutSuffix(name, after); ok {
			return fault(e.Location+"."+name, "is missing")
		}
	}
	return fault(e.Location, e.Message)
}

// writeProblem answers with a problem where no operation is involved.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	problem := &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}
	body, err := json.Marshal(problem)
	if err != nil {
		body = []byte(`{}`) // texts and numbers always marshal
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone
}
