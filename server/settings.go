package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// settingsFile is read if it is in the working directory.
const settingsFile = "alpes-partners.json"

// settings are those of a file, by the names of their flags. It is a [kong.Resolver] that, other than kong's own, lets the
// environment prevail and refuses names that are no flags.
type settings map[string]any

// readSettings is a [kong.ConfigurationLoader].
func readSettings(r io.Reader) (kong.Resolver, error) {
	decoder := json.NewDecoder(r)
	decoder.UseNumber()
	var s settings
	if err := decoder.Decode(&s); err != nil {
		return nil, fmt.Errorf("the settings file must be one JSON object with the flags' names as keys: %w", err)
	}
	return s, nil
}

// Validate implements [kong.Resolver].
func (s settings) Validate(app *kong.Application) error {
	unknown := maps.Clone(s)
	for _, node := range append([]*kong.Node{app.Node}, app.Leaves(false)...) {
		for _, flag := range node.Flags {
			delete(unknown, flag.Name)
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		faults = append(faults, fmt.Errorf("the settings file has %q, which is no flag: see --help", name))
	}
	return errors.Join(faults...)
}

// Resolve implements [kong.Resolver].
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	switch value := s[flag.Name].(type) {
	case json.Number:
		return value.String(), nil
	default:
		return value, nil
	}
}
