package avromsg

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hamba/avro/v2"
)

// enums returns the enums of a schema by their names, without namespaces.
func enums(root avro.Schema) map[string]*avro.EnumSchema {
	found := make(map[string]*avro.EnumSchema)
	seen := make(map[avro.Schema]bool)
	var walk func(avro.Schema)
	walk = func(s avro.Schema) {
		s = target(s)
		if seen[s] {
			return
		}
		seen[s] = true
		switch s := s.(type) {
		case *avro.EnumSchema:
			found[s.Name()] = s
		case *avro.RecordSchema:
			for _, f := range s.Fields() {
				walk(f.Type())
			}
		case *avro.UnionSchema:
			for _, branch := range s.Types() {
				walk(branch)
			}
		case *avro.ArraySchema:
			walk(s.Items())
		case *avro.MapSchema:
			walk(s.Values())
		}
	}
	walk(root)
	return found
}

// unknownSymbols returns, for the writer's enums by name, the symbols that the reader's do not have and have no default for.
func unknownSymbols(reader, writer *Schema) map[string][]string {
	unknown := make(map[string][]string)
	readers := enums(reader.decoder.schema)
	for name, w := range enums(writer.decoder.schema) {
		r := readers[name]
		if r == nil || r.HasDefault() {
			continue
		}
		for _, symbol := range w.Symbols() {
			if !slices.Contains(r.Symbols(), symbol) {
				unknown[name] = append(unknown[name], symbol)
			}
		}
	}
	return unknown
}

// withSymbols returns the schema with further symbols in its enums.
func (s *Schema) withSymbols(added map[string][]string) (*Schema, error) {
	var tree any
	if err := json.Unmarshal([]byte(s.json), &tree); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	addSymbols(tree, added)
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return ParseSchema(string(text))
}

func addSymbols(tree any, added map[string][]string) {
	switch tree := tree.(type) {
	case map[string]any:
		name, _ := tree["name"].(string)
		symbols, isEnum := tree["symbols"].([]any)
		if tree["type"] == string(avro.Enum) && isEnum {
			for _, symbol := range added[name[strings.LastIndexByte(name, '.')+1:]] {
				symbols = append(symbols, symbol)
			}
			tree["symbols"] = symbols
			return
		}
		for _, inner := range tree {
			addSymbols(inner, added)
		}
	case []any:
		for _, inner := range tree {
			addSymbols(inner, added)
		}
	}
}
