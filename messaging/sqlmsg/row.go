package sqlmsg

import (
	"encoding/json"
	"fmt"
	"strings"
)

// expand puts the tables' names into a statement.
func expand(text, prefix string) string {
	return strings.NewReplacer(
		"{inbox}", prefix+"inbox",
		"{outbox}", prefix+"outbox",
		"{dead_letters}", prefix+"dead_letters",
	).Replace(text)
}

func encodeHeaders(headers map[string]string) (string, error) {
	if len(headers) == 0 {
		return "", nil
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return "", fmt.Errorf("sqlmsg: encode headers: %w", err)
	}
	return string(text), nil
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
