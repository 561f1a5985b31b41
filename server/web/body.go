package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/internal/legible"
)

// maxDepth bounds how deep a body is nested.
const maxDepth = 64

// refusal is why a body is not looked at any further.
type refusal struct {
	status int
	detail string
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, detail: fmt.Sprintf(format, args...)}
}

// readJSON returns the body of the request.
func readJSON(r *http.Request) ([]byte, *refusal) {
	if !isJSON(r.Header) {
		return nil, refuse(http.StatusUnsupportedMediaType, "the content type is not understood: send application/json in UTF-8, not compressed")
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is too large: send at most %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body could not be read to its end: send it whole, in time")
	default:
		return body, checkJSON(body)
	}
}

// isJSON says whether the body is said to be JSON, or is not said to be anything.
func isJSON(h http.Header) bool {
	if encoding := h.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return false
	}
	header := h.Get("Content-Type")
	if header == "" {
		return true
	}
	media, params, err := mime.ParseMediaType(header)
	charset := strings.ToLower(params["charset"])
	return err == nil && media == "application/json" && (charset == "" || charset == "utf-8")
}

// checkJSON takes one JSON value that is not nested too deep; nothing is decoded for it.
func checkJSON(body []byte) *refusal {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return refuse(http.StatusBadRequest, "the body is empty: send a JSON object")
	}
	if !utf8.Valid(body) {
		return refuse(http.StatusBadRequest, "the body is not UTF-8")
	}
	if at, deep := tooDeep(body); deep {
		return refuse(http.StatusBadRequest, "the body is nested deeper than %d levels at byte %d", maxDepth, at)
	}
	var value json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, &value); errors.As(err, &syntax) {
		return refuse(http.StatusBadRequest, "the body is not valid JSON at byte %d: %s", syntax.Offset, syntax)
	}
	return nil
}

// tooDeep finds where JSON is nested too deep. Of other texts it says anything.
func tooDeep(body []byte) (at int, deep bool) {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			if depth > maxDepth {
				return i, true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0, false
}

// jsonFormat is how bodies are decoded and answers encoded.
func jsonFormat() huma.Format {
	return huma.Format{Marshal: marshalJSON, Unmarshal: unmarshalJSON}
}

// marshalJSON writes v as the original's framework does: without a line's end, and without escapes that HTML needs.
func marshalJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

// unmarshalJSON is [json.Unmarshal], but for numbers beyond the range of a float in an any: they become the greatest float, so
// that validation comes to the fields and can name the one at fault.
func unmarshalJSON(data []byte, v any) error {
	target, ok := v.(*any)
	if !ok {
		return json.Unmarshal(data, v)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(target); err != nil {
		return err
	}
	*target = floats(*target)
	return nil
}

func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return math.Copysign(math.MaxFloat64, f)
		}
		return f
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = floats(v[k])
		}
	}
	return v
}

// number is a JSON number that keeps its digits.
type number string

// Schema implements [huma.SchemaProvider].
func (number) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "An exact decimal number."}
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *number) UnmarshalJSON(text []byte) error {
	var v json.Number
	if len(text) > 0 && text[0] == '"' { // json.Number takes those, too
		return errors.New("expected number")
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*n = number(v)
	return nil
}

// MarshalJSON implements [json.Marshaler]. A text that is no number is null.
func (n number) MarshalJSON() ([]byte, error) {
	// Of all JSON only numbers begin so.
	if text := []byte(n); strings.IndexAny(string(n), "-0123456789") == 0 && json.Valid(text) {
		return text, nil
	}
	return []byte("null"), nil
}

// decimal returns the number without an exponent; ok is false if that takes more than [campaign.MaxBudget] characters.
func (n number) decimal() (text string, ok bool) {
	s, negative := strings.CutPrefix(string(n), "-")
	mantissa, power, scientific := strings.Cut(strings.ToLower(s), "e")
	if !scientific {
		return string(n), len(n) <= campaign.MaxBudget
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0", true
	}
	exponent, err := strconv.Atoi(power)
	if err != nil || exponent > campaign.MaxBudget || exponent < -campaign.MaxBudget || len(digits) > 2*campaign.MaxBudget {
		return "", false
	}
	point := len(digits) - len(fraction) + exponent // how many digits are before the point
	if point <= 0 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	if zeros := point - len(digits); zeros > 0 {
		digits += strings.Repeat("0", zeros)
	}
	text = digits[:point]
	if rest := strings.TrimRight(digits[point:], "0"); rest != "" {
		text += "." + rest
	}
	if negative {
		text = "-" + text
	}
	return text, len(text) <= campaign.MaxBudget
}

// illegible tells which texts of the query and the body no store can keep or look up. JSON within the body is data, which is kept as bytes.
func illegible(at string, v reflect.Value) []*huma.ErrorDetail {
	var faults []*huma.ErrorDetail
	switch v.Kind() {
	case reflect.String:
		if !legible.Is(v.String()) {
			faults = append(faults, fault(at, "contains a NUL character or is not UTF-8: send text"))
		}
	case reflect.Slice:
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				break
			}
			faults = append(faults, illegible(fmt.Sprintf("%s[%d]", at, i), v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if place := placeOf(at, v.Type().Field(i)); place != "" {
				faults = append(faults, illegible(place, v.Field(i))...)
			}
		}
	default:
	}
	return faults
}

// placeOf is where a request has the field; empty for what is in its path, where only ids are.
func placeOf(at string, f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch query := f.Tag.Get("query"); {
	case !f.IsExported():
		return ""
	case query != "":
		return "query." + query
	case at == "" && f.Name == "Body":
		return "body"
	case at != "" && name != "":
		return at + "." + name
	default:
		return ""
	}
}
