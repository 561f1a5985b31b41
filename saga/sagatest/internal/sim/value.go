package sim

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// The limits of a made-up value.
const (
	mostElements = 3
	mostNested   = 5
)

// value makes up a value of type t, with all fields set that can be: short texts that tell the field, small numbers.
// It depends on the seed and the point only.
func (s *schedule) value(t reflect.Type, point string) any {
	v := reflect.New(t).Elem()
	s.fill(v, point, "", 0)
	return v.Interface()
}

// fill sets v, which is the field with the name of what is made up at the point.
func (s *schedule) fill(v reflect.Value, point, name string, depth int) {
	t := v.Type()
	if s.special(v, point) || depth > mostNested {
		return
	}
	number := s.draw(point)/7%9000 + 1000
	switch t.Kind() {
	case reflect.String:
		v.SetString(strings.ToLower(name) + "-" + strconv.FormatUint(number, 10))
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16:
		v.SetInt(int64(number))
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16:
		v.SetUint(number)
	case reflect.Int8:
		v.SetInt(int64(number % 100))
	case reflect.Uint8:
		v.SetUint(number % 256)
	case reflect.Float64, reflect.Float32:
		v.SetFloat(float64(number) / 4)
	case reflect.Bool:
		v.SetBool(number%2 == 1)
	case reflect.Pointer:
		if depth < mostNested {
			v.Set(reflect.New(t.Elem()))
			s.fill(v.Elem(), point, name, depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			s.fill(v.Index(i), point+"."+strconv.Itoa(i), name, depth+1)
		}
	case reflect.Slice:
		for i := range s.elements(point, depth) {
			v.Set(reflect.Append(v, reflect.Zero(t.Elem())))
			s.fill(v.Index(v.Len()-1), point+"."+strconv.Itoa(i), name, depth+1)
		}
	case reflect.Map:
		for i := range s.elements(point, depth) {
			s.entry(v, point+"."+strconv.Itoa(i), name, depth+1)
		}
	case reflect.Struct:
		for f, field := range v.Fields() {
			if f.IsExported() {
				s.fill(field, point+"."+f.Name, f.Name, depth+1)
			}
		}
	default: // functions, channels and interfaces stay nil
	}
}

// elements says which elements a slice or map has: each of the most that there may be is there or not.
func (s *schedule) elements(point string, depth int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range mostElements {
			if depth < mostNested && s.even(point+" has "+strconv.Itoa(i)) && !yield(i) {
				return
			}
		}
	}
}

func (s *schedule) entry(m reflect.Value, point, name string, depth int) {
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	key, element := reflect.New(m.Type().Key()).Elem(), reflect.New(m.Type().Elem()).Elem()
	s.fill(key, point+".key", "key", depth)
	s.fill(element, point, name, depth)
	m.SetMapIndex(key, element)
}

// special sets values of the types that know themselves how they are written.
func (s *schedule) special(v reflect.Value, point string) bool {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = beginning().Add(time.Duration(s.draw(point)%1000) * time.Hour)
		return true
	case *time.Duration:
		*p = time.Duration(s.draw(point)%60+1) * time.Second
		return true
	case *json.RawMessage:
		*p = json.RawMessage(`{}`)
		return true
	default:
		return false
	}
}

// unkept finds a field of the data that JSON loses, so that it is gone in the next transition.
func unkept(t reflect.Type, definition string) *violation {
	field, why := lostField(t, t.Name(), map[reflect.Type]bool{})
	if field == "" {
		return nil
	}
	return &violation{Data, fmt.Sprintf("%s is %s, so that it is lost between two transitions of %s: "+
		"data is kept as JSON; export it, or keep it elsewhere", field, why, definition)}
}

func lostField(t reflect.Type, path string, seen map[reflect.Type]bool) (field, why string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return lostField(t.Elem(), path, seen)
	case reflect.Struct:
	default:
		return "", ""
	}
	if seen[t] || writesItself(t) {
		return "", ""
	}
	seen[t] = true
	for f := range t.Fields() {
		name := path + "." + f.Name
		switch {
		case f.Name == "_":
		case f.Anonymous && f.Type.Kind() == reflect.Struct && f.Tag.Get("json") != "-":
			field, why = lostField(f.Type, path, seen)
		case !f.IsExported():
			return name, "not exported"
		case f.Tag.Get("json") == "-":
			return name, `tagged json:"-"`
		default:
			field, why = lostField(f.Type, name, seen)
		}
		if field != "" {
			return field, why
		}
	}
	return "", ""
}

// writesItself reports whether the type has its own JSON.
func writesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}
