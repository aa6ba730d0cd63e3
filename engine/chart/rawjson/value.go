package rawjson

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Value is one JSON value as a substring of checked text, without space
// around it. The empty Value stands for a member that is not there.
type Value string

// IsObject reports whether the value is an object.
func (v Value) IsObject() bool { return v != "" && v[0] == '{' }

// IsArray reports whether the value is an array.
func (v Value) IsArray() bool { return v != "" && v[0] == '[' }

// IsString reports whether the value is a string.
func (v Value) IsString() bool { return v != "" && v[0] == '"' }

// IsNumber reports whether the value is a number.
func (v Value) IsNumber() bool { return v != "" && (v[0] == '-' || '0' <= v[0] && v[0] <= '9') }

// IsNull reports whether the value is the literal null.
func (v Value) IsNull() bool { return v == "null" }

// Missing reports whether there is no value, or null.
func (v Value) Missing() bool { return v == "" || v == "null" }

// Text returns the content of a string; any other value has the empty text.
func (v Value) Text() string {
	if !v.IsString() {
		return ""
	}
	return unquote(string(v))
}

// unquote removes quotes and escapes; without escapes it copies nothing.
func unquote(quoted string) string {
	inner := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	plain, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return "" // not reached: the text was checked
	}
	return string(plain)
}

// Get returns the member of an object by its name, or the empty Value.
func (v Value) Get(name string) Value {
	for m := v.Members(); m.Next(); {
		if m.Name == name {
			return m.Value
		}
	}
	return ""
}

// Members walks the members of an object; of any other value there are none.
type Members struct {
	Name  string
	Value Value
	s     Scanner
	open  bool
}

// Members starts before the first member.
func (v Value) Members() Members {
	m := Members{s: Scanner{Src: string(v)}}
	if v.IsObject() {
		m.open = m.s.Enter()
	}
	return m
}

// Next goes to the next member and reports whether there is one.
func (m *Members) Next() bool {
	if !m.open || !m.s.More() {
		m.open = false
		return false
	}
	m.Name = m.s.Name()
	m.Value = m.s.Skip()
	return true
}

// Elements walks the elements of an array. A value that is neither an array
// nor missing is walked as its own only element: senders write an object
// where FHIR wants a list of one.
type Elements struct {
	Value Value
	s     Scanner
	open  bool
	one   bool
}

// Elements starts before the first element.
func (v Value) Elements() Elements {
	switch {
	case v.IsArray():
		e := Elements{s: Scanner{Src: string(v)}}
		e.open = e.s.Enter()
		return e
	case v.Missing():
		return Elements{}
	default:
		return Elements{Value: v, one: true}
	}
}

// Next goes to the next element and reports whether there is one.
func (e *Elements) Next() bool {
	if e.one {
		e.one = false
		return true
	}
	if !e.open || !e.s.More() {
		e.open = false
		return false
	}
	e.Value = e.s.Skip()
	return true
}
