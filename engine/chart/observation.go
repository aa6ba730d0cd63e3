package chart

import (
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// Observation is a measurement or finding.
type Observation struct {
	*Resource
	Effective      dates.Interval  // a period is a point somewhere in it
	Issued         dates.Interval  // when it was made available; breaks ties
	Quantity       *units.Quantity // nil if the value is not a number
	ValueText      string
	ValueCodings   []Coding
	Absent         bool   // a dataAbsentReason is given
	AbsentReason   string // its code, e.g. "masked"
	Interpretation []Coding
	// Reasons say why the value cannot be used although there is one:
	// implausible for a number that is none, no-data for a value of a kind
	// that is not read (range, ratio, ...), masked for a withheld value.
	Reasons []fact.Reason
}

// Analyte returns what was measured, for units.Convert.
func (o *Observation) Analyte() units.Analyte {
	for _, c := range o.Codings {
		if c.System == LOINC {
			if a := units.AnalyteOf(c.Code); a != "" {
				return a
			}
		}
	}
	return ""
}

// Evidence points at the observation, with its value as sent.
func (o *Observation) Evidence() fact.Evidence {
	e := fact.Evidence{Ref: o.Ref(), What: o.label(), When: o.Effective.Text, Source: o.Source, Value: o.ValueText,
		Note: mappedNote(o.Mapped)}
	if q := o.Quantity; q != nil && q.Value != nil {
		e.Value, e.Unit = q.Comparator+q.Value.Text('f'), q.Unit
		if e.Unit == "" {
			e.Unit = q.Code
		}
	}
	return e
}

// label returns the codes of a resource in words.
func (r *Resource) label() string {
	if r.Text != "" {
		return r.Text
	}
	for _, c := range r.Codings {
		if c.Display != "" {
			return c.Display
		}
	}
	if len(r.Codings) > 0 {
		return r.Codings[0].Code
	}
	return ""
}

// Observation decodes an Observation resource. What cannot be read of it is
// left out, and Reasons tell if the value is concerned.
func (c *Chart) Observation(r *Resource) *Observation {
	o := &Observation{Resource: r}
	for m := r.JSON.Members(); m.Next(); {
		switch m.Name {
		case "effectiveDateTime", "effectiveInstant":
			o.Effective = c.date(m.Value)
		case "effectivePeriod":
			start, end := c.period(m.Value)
			o.Effective = dates.Interval{From: start.From, To: end.To, Text: end.Text}
			if end.Text == "" {
				o.Effective.Text = start.Text
			}
		case "issued":
			o.Issued = c.date(m.Value)
		case "dataAbsentReason":
			o.absent(m.Value)
		case "interpretation":
			o.Interpretation, _, _ = concept(m.Value, nil)
		default:
			if strings.HasPrefix(m.Name, "value") && !m.Value.Missing() {
				o.value(m.Name, m.Value)
			} else if strings.HasPrefix(m.Name, "_value") {
				o.absentBy(m.Value)
			}
		}
	}
	if o.AbsentReason == "masked" {
		o.cannot(fact.Masked)
	}
	return o
}

func (o *Observation) absent(why rawjson.Value) {
	if !why.Missing() {
		o.Absent, o.AbsentReason = true, statusCode(why, "data-absent-reason")
	}
}

// absentReason is the extension that stands in the place of a value or a number.
const absentReason = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

// absentBy reads the extensions of a value: one says that there is none, and why.
func (o *Observation) absentBy(v rawjson.Value) {
	for e := v.Get("extension").Elements(); e.Next(); {
		if e.Value.Get("url").Text() == absentReason {
			o.Absent, o.AbsentReason = true, e.Value.Get("valueCode").Text()
		}
	}
}

// HasValue reports whether a value of any kind was sent.
func (o *Observation) HasValue() bool {
	return o.Quantity != nil || o.ValueText != "" || len(o.ValueCodings) > 0 || len(o.Reasons) > 0
}

// IsPanel reports whether what was found is said by its parts or by other
// observations.
func (o *Observation) IsPanel() bool { return o.parts != "" || !o.JSON.Get("hasMember").Missing() }

// Components returns the parts of panels that carry one of the codes, each as an
// Observation with the name, status and dates of its panel, in their order. The
// systems of the codes must be canonical.
func (c *Chart) Components(codes ...Coding) []*Observation {
	var found []*Observation
	for n, list := 0, c.index("Observation").list; n < len(list); n++ {
		if !mayHold(string(list[n].parts), codes) {
			continue
		}
		for e := list[n].parts.Elements(); e.Next(); {
			if codings, text, _ := concept(e.Value.Get("code"), nil); anySame(codings, codes) {
				found = append(found, c.component(&list[n], e.Value, codings, text))
			}
		}
	}
	return found
}

// mayHold reports whether a text could hold one of the codes, which saves
// reading panels of something else. With escapes nobody can tell.
func mayHold(text string, codes []Coding) bool {
	holds := func(c Coding) bool { return strings.Contains(text, c.Code) }
	return text != "" && (slices.ContainsFunc(codes, holds) || strings.IndexByte(text, '\\') >= 0)
}

// Unnamed returns the observations, and the parts of panels, that carry no LOINC
// code of the table of analytes and that their words call the analyte: what could
// be one, under a code that nobody here knows. In their order, panels first.
func (c *Chart) Unnamed(a units.Analyte) []*Observation {
	e := units.Lookup(a)
	if e == nil || len(e.Words) == 0 {
		return nil
	}
	var found []*Observation
	for _, u := range c.unnamed() {
		switch {
		case !names(e, u.codings, u.text):
		case u.part == "":
			found = append(found, c.Observation(u.Resource))
		default:
			found = append(found, c.component(u.Resource, u.part, u.codings, u.text))
		}
	}
	return found
}

// unnamed is an observation without a code of the table, or such a part of one.
type unnamed struct {
	*Resource
	part    rawjson.Value
	codings []Coding
	text    string
}

// unnamed lists them, once.
func (c *Chart) unnamed() []unnamed {
	if c.read.unnamed {
		return c.withoutCode
	}
	c.read.unnamed = true
	list := c.index("Observation").list
	for n := range list {
		r := &list[n]
		if !tabled(r.Codings) {
			c.withoutCode = append(c.withoutCode, unnamed{r, "", r.Codings, r.Text})
		}
		for e := r.parts.Elements(); e.Next(); {
			if codings, text, _ := concept(e.Value.Get("code"), nil); !tabled(codings) {
				c.withoutCode = append(c.withoutCode, unnamed{r, e.Value, codings, text})
			}
		}
	}
	return c.withoutCode
}

func tabled(codings []Coding) bool {
	return slices.ContainsFunc(codings, func(c Coding) bool {
		return c.System == LOINC && units.AnalyteOf(c.Code) != ""
	})
}

// names reports whether words of a code call it the analyte: all of them together,
// so that one that says "urine" counts for all.
func names(e *units.Entry, codings []Coding, text string) bool {
	named, other := e.Names(text)
	for _, c := range codings {
		for _, words := range [...]string{c.Display, c.Code} {
			n, o := e.Names(words)
			named, other = named || n, other || o
		}
	}
	return named && !other
}

func anySame(a, b []Coding) bool {
	return slices.ContainsFunc(a, func(x Coding) bool { return slices.ContainsFunc(b, x.same) })
}

// component reads one part of a panel.
func (c *Chart) component(panel *Resource, v rawjson.Value, codings []Coding, text string) *Observation {
	part := *panel
	part.Codings, part.Text, part.JSON = codings, text, v
	o, dated := c.Observation(&part), c.Observation(panel)
	o.Effective, o.Issued = dated.Effective, dated.Issued
	return o
}

func (o *Observation) cannot(code fact.Code) {
	o.Reasons = append(o.Reasons, fact.Reason{Code: code, What: o.label()})
}

// value reads one of the value[x] members.
func (o *Observation) value(name string, v rawjson.Value) {
	switch name {
	case "valueQuantity":
		if strings.Contains(string(v), absentReason) {
			o.absentBy(v)
			o.absentBy(v.Get("_value"))
		}
		q := &units.Quantity{}
		switch ok := quantity(q, v); {
		case !ok:
			o.cannot(fact.Implausible)
		case q.Value != nil:
			o.Quantity = q
		}
	case "valueInteger":
		n, err := units.ParseNumber(string(v))
		if err != nil {
			o.cannot(fact.Implausible)
			return
		}
		o.Quantity = &units.Quantity{Value: n, Code: "1", System: UCUM}
	case "valueString":
		o.ValueText = v.Text()
	case "valueCodeableConcept":
		var text string
		o.ValueCodings, text, _ = concept(v, nil)
		if o.ValueText = text; text == "" && len(o.ValueCodings) > 0 {
			o.ValueText = o.ValueCodings[0].Display
		}
	default:
		o.cannot(fact.NoData)
	}
}

// quantity reads a Quantity; its Value is nil if there is none. It reports
// false if the number or comparator is none.
func quantity(q *units.Quantity, v rawjson.Value) bool {
	if !v.IsObject() {
		return false
	}
	for m := v.Members(); m.Next(); {
		switch m.Name {
		case "value":
			if m.Value.IsNull() {
				continue
			}
			n, err := units.ParseNumber(string(m.Value))
			if err != nil {
				return false
			}
			q.Value = n
		case "comparator":
			if !m.Value.IsString() && !m.Value.IsNull() {
				return false // without it the number would say something else
			}
			q.Comparator = m.Value.Text()
		case "unit":
			q.Unit = m.Value.Text()
		case "code":
			q.Code = m.Value.Text()
		case "system":
			q.System = CanonicalSystem(m.Value.Text())
		}
	}
	switch q.Comparator {
	case "", "<", "<=", ">", ">=":
	default:
		return false
	}
	return true
}

// date reads a date; what is none is an unknown point.
func (c *Chart) date(v rawjson.Value) dates.Interval {
	i, err := dates.Parse(v.Text(), c.in.Zone)
	if err != nil {
		return dates.Interval{}
	}
	return i
}

// period reads the two ends of a Period.
func (c *Chart) period(v rawjson.Value) (start, end dates.Interval) {
	return c.date(v.Get("start")), c.date(v.Get("end"))
}
