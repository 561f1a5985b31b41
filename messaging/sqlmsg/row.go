package sqlmsg

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// expand puts the tables' names into a statement.
func expand(text, prefix string) string {
	return strings.NewReplacer(
		"{inbox}", prefix+"inbox",
		"{horizon}", prefix+"inbox_horizon",
		"{outbox}", prefix+"outbox",
		"{dead_letters}", prefix+"dead_letters",
	).Replace(text)
}

func encodeHeaders(headers map[string]string) (string, error) {
	if len(headers) == 0 {
		return "", nil
	}
	names := make([]string, 0, 8)
	size := 1
	for name, value := range headers {
		names = append(names, name)
		size += len(name) + len(value) + 6
	}
	slices.Sort(names)
	text := make([]byte, 0, size)
	for i, name := range names {
		var err error
		mark := byte(',')
		if i == 0 {
			mark = '{'
		}
		if text, err = appendJSON(append(text, mark), name); err == nil {
			text, err = appendJSON(append(text, ':'), headers[name])
		}
		if err != nil {
			return "", fmt.Errorf("sqlmsg: encode headers: %w", err)
		}
	}
	return string(append(text, '}')), nil
}

// appendJSON writes a text as encoding/json does, and the usual ones without its help.
func appendJSON(to []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, err := json.Marshal(text)
			return append(to, escaped...), err
		}
	}
	return append(append(append(to, '"'), text...), '"'), nil
}

func decodeHeaders(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	var headers map[string]string
	if err := json.Unmarshal([]byte(text), &headers); err != nil {
		return nil, fmt.Errorf("sqlmsg: decode headers: %w", err)
	}
	return headers, nil
}

// blob keeps an empty payload apart from NULL, which the drivers make of nil.
func blob(payload []byte) []byte {
	if payload == nil {
		return []byte{}
	}
	return payload
}
