package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/messaging"
)

// participante is a participant in the JSON array of a record.
type participante struct {
	ID                string `json:"id"`
	Tipo              string `json:"tipo"`
	Nombre            string `json:"nombre"`
	InformacionPerfil string `json:"informacion_perfil"`
}

// participantsText returns the JSON array exactly as Python's json.dumps writes it, so that our records
// are the original's to the byte.
func participantsText(participants []campaign.Participant) (*string, error) {
	var b strings.Builder
	b.WriteByte('[')
	for i, p := range participants {
		if i > 0 {
			b.WriteString(", ")
		}
		separator := "{"
		for _, member := range [...]struct{ field, key, value string }{
			{"id", "id", p.ID}, {"type", "tipo", p.Type}, {"name", "nombre", p.Name}, {"profile", "informacion_perfil", p.Profile},
		} {
			if !utf8.ValidString(member.value) {
				return nil, unencodable(fmt.Sprintf("participants[%d].%s", i, member.field), "text is not UTF-8")
			}
			b.WriteString(separator)
			writePython(&b, member.key)
			b.WriteString(": ")
			writePython(&b, member.value)
			separator = ", "
		}
		b.WriteByte('}')
	}
	b.WriteByte(']')
	text := b.String()
	return &text, nil
}

// writePython writes a JSON string in ASCII, as json.dumps does with ensure_ascii, its default.
func writePython(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\b':
			b.WriteString(`\b`)
		case r >= ' ' && r <= '~':
			b.WriteByte(byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
}

// participants reads the JSON array. Null and an empty array are nil; no JSON array of objects of texts: [messaging.ErrMalformed].
func participants(text *string) ([]campaign.Participant, error) {
	if text == nil {
		return nil, nil
	}
	var list []participante
	if err := json.Unmarshal([]byte(*text), &list); err != nil {
		// The reason would quote what the message holds.
		return nil, fmt.Errorf("%w: field participantes: no JSON array of participants", messaging.ErrMalformed)
	}
	var participants []campaign.Participant
	for _, p := range list {
		participants = append(participants, campaign.Participant{ID: p.ID, Type: p.Tipo, Name: p.Nombre, Profile: p.InformacionPerfil})
	}
	return participants, nil
}
