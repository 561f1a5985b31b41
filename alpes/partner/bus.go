package partner

import (
	"errors"

	"github.com/alpespartners/alpespartners/cqrs"
)

// HandleCommands registers s as the handler of [Register] and [Cancel]. A command that has its
// handler already: [cqrs.ErrDuplicateHandler].
func HandleCommands(bus *cqrs.Bus, s *Service) error {
	return errors.Join(
		cqrs.Handle(bus, s.Register),
		cqrs.Handle(bus, s.Cancel),
	)
}

// HandleQueries registers v as the handler of [Find] and [List]. A query that has its handler
// already: [cqrs.ErrDuplicateHandler].
func HandleQueries(bus *cqrs.Bus, v Views) error {
	return errors.Join(
		cqrs.HandleQuery(bus, v.Find),
		cqrs.HandleQuery(bus, v.List),
	)
}
