package wire

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

// unencodable says that a field of a Go value cannot travel. It does not tell the field's value.
func unencodable(field, reason string) error {
	return fmt.Errorf("%w: field %s: %s", avromsg.ErrUnencodable, field, reason)
}

// text returns what p points to, or "".
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// orNull returns nil for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// orZero returns what p points to, or a T of zero: for records, one of nulls.
func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// filled says whether a payload record holds anything but nulls.
func filled[T comparable](p *T) bool {
	var nulls T
	return p != nil && *p != nulls
}

// noID is what the original's tracking service sends for an id that it never tells.
const noID = "None"

// eventID returns the entity's id of an event, "" where it was not told.
func eventID(p *string) string {
	if id := text(p); id != noID {
		return id
	}
	return ""
}

// The symbols of the enum TipoPartner, and the domain's names of the same.
const (
	tipoAfiliado   = "afiliado"
	tipoInfluencer = "influencer"
	typeAffiliate  = "affiliate"
	typeInfluencer = "influencer"
)

// tipo returns the symbol of a partner's type, nil for an unknown one.
func tipo(partnerType string) *string {
	symbol := ""
	switch partnerType {
	case typeAffiliate, tipoAfiliado:
		symbol = tipoAfiliado
	case typeInfluencer:
		symbol = tipoInfluencer
	}
	return orNull(symbol)
}

// requiredTipo is tipo for messages that mean nothing without one.
func requiredTipo(partnerType string) (*string, error) {
	symbol := tipo(partnerType)
	if symbol == nil {
		return nil, unencodable("type", "neither affiliate nor influencer")
	}
	return symbol, nil
}

// partnerType returns the domain's name of a symbol.
func partnerType(symbol *string) string {
	switch text(symbol) {
	case tipoAfiliado:
		return typeAffiliate
	case tipoInfluencer:
		return typeInfluencer
	default:
		return ""
	}
}

// presupuesto returns the 32-bit float of a decimal number; ok is false for any other text and for
// numbers beyond its range. It rounds by way of 64 bits, as Python does.
func presupuesto(budget string) (f float32, ok bool) {
	if !isDecimal(budget) {
		return 0, false
	}
	wide, err := strconv.ParseFloat(budget, 64)
	f = float32(wide)
	return f, err == nil && !math.IsInf(float64(f), 0)
}

// requiredPresupuesto is presupuesto for messages that mean nothing without one.
func requiredPresupuesto(budget string) (*float32, error) {
	f, ok := presupuesto(budget)
	if !ok {
		return nil, unencodable("budget", "not a decimal number of the range of a float")
	}
	return &f, nil
}

// isDecimal tells numbers from the other things that Go's parser takes: hexadecimal, underscores, infinities.
func isDecimal(s string) bool {
	digits := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits = true
		case c == '.' || c == '+' || c == '-' || (c == 'e' || c == 'E') && digits:
		default:
			return false
		}
	}
	return digits
}

// budget returns the exact text from the message's header if it belongs to the record's number, and
// otherwise the shortest decimal that rounds to that number.
func budget(f *float32, header string) string {
	exact, ok := presupuesto(header)
	switch {
	case f == nil && !ok:
		return header // what no number was sent for: a refused budget
	case f == nil:
		return ""
	case ok && exact == *f:
		return header
	default:
		return strconv.FormatFloat(float64(*f), 'f', -1, 32)
	}
}

// The last year that a time in JSON or in a database can have; the first is 1.
const maxYear = 9999

// fecha returns t in milliseconds since 1970, nil for the zero time.
func fecha(t time.Time) (*int64, error) {
	if t.IsZero() {
		return nil, nil
	}
	if year := t.UTC().Year(); year < 1 || year > maxYear {
		return nil, unencodable("occurredAt", "outside of the years 1 to 9999")
	}
	ms := t.UnixMilli()
	return &ms, nil
}

// occurredAt is fecha the other way. Outside of the years 1 to 9999: [messaging.ErrMalformed].
func occurredAt(ms *int64) (time.Time, error) {
	if ms == nil {
		return time.Time{}, nil
	}
	t := time.UnixMilli(*ms).UTC()
	if t.Year() < 1 || t.Year() > maxYear {
		return time.Time{}, fmt.Errorf("%w: field fecha: outside of the years 1 to 9999", messaging.ErrMalformed)
	}
	return t, nil
}

// sentAt returns an envelope's time, zero where it tells none that can be.
func sentAt(ms *int64) time.Time {
	t, err := occurredAt(ms)
	if err != nil {
		return time.Time{}
	}
	return t
}
