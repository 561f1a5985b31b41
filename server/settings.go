package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"
)

// settingsFile is read if it is in the working directory.
const settingsFile = "alpes-partners.json"

// settings are those of a file, by the names of their flags. It is a [kong.Resolver] that, other than kong's own, lets the
// environment prevail and refuses names that are no flags.
type settings struct {
	file   string
	values map[string]any
}

// readSettings is a [kong.ConfigurationLoader]. Its errors name the file, which may be one that is only found in the working directory.
func readSettings(r io.Reader) (kong.Resolver, error) {
	s := settings{file: settingsFile, values: map[string]any{}}
	if named, ok := r.(interface{ Name() string }); ok {
		s.file = named.Name()
	}
	if err := s.read(json.NewDecoder(r)); err != nil {
		return nil, fmt.Errorf("the settings file %s: %w", s.file, err)
	}
	return s, nil
}

// read is stricter than [json.Unmarshal], to which the last of two values counts and null is as good as nothing.
func (s settings) read(d *json.Decoder) error {
	d.UseNumber()
	noObject := errors.New("it must be one JSON object with the flags' names as keys")
	begin, err := d.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", noObject, err)
	}
	if begin != json.Delim('{') {
		return noObject
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", noObject, err)
		}
		name := fmt.Sprint(key)
		var value any
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("%w: %q: %w", noObject, name, err)
		}
		if _, twice := s.values[name]; twice {
			return fmt.Errorf("%q is there twice: leave one out", name)
		}
		if value == nil {
			return fmt.Errorf("%q is null: give it a value, or leave it out", name)
		}
		if _, object := value.(map[string]any); object {
			return fmt.Errorf("%q is an object: settings are texts, numbers, true or false, and lists of them", name)
		}
		s.values[name] = value
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: %w", noObject, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", noObject)
	}
	return nil
}

// Validate implements [kong.Resolver].
func (s settings) Validate(app *kong.Application) error {
	unknown := maps.Clone(s.values)
	for _, node := range append([]*kong.Node{app.Node}, app.Leaves(false)...) {
		for _, flag := range node.Flags {
			delete(unknown, flag.Name)
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		faults = append(faults, fmt.Errorf("the settings file %s has %q, which is no flag: see --help", s.file, name))
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
	value, ok := s.values[flag.Name]
	if !ok {
		return nil, nil
	}
	if number, ok := value.(json.Number); ok {
		value = number.String()
	}
	// kong does the same afterwards, and does not know where the value is from.
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, reflect.New(flag.Target.Type()).Elem()); err != nil {
		return nil, fmt.Errorf("the settings file %s: %w", s.file, err)
	}
	return value, nil
}
