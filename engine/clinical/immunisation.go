package clinical

import (
	"cmp"
	"slices"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// immunizationQuestions ask which vaccines a patient has received.
func immunizationQuestions() []Function {
	return []Function{{
		Name: "fhir.immunizations",
		Doc: "number of valid doses of the vaccines of the set: given, completed and not subpotent, those of one day " +
			"counted once; an interval where dates are coarse or a dose may be of the set; 0 if there are none",
		Unknown: "immunizations are incomplete, or `min_age` is asked and there is no birth date",
		Options: []Option{
			{Name: "set", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindVaccine}, Required: true,
				Doc: "the vaccines, such as a group of CVX codes"},
			{Name: "min_age", Kind: KindDuration, Param: true, Doc: "doses given at a younger age are not valid"},
			{Name: "grace", Kind: KindDuration, Param: true, Needs: "min_age",
				Doc: "but for those given so shortly before that age"},
			{Name: "min_interval", Kind: KindDuration, Param: true,
				Doc: "doses given sooner after the one before, valid or not, are not valid"},
		},
		Result: typeValue, Reads: []string{"Immunization", "Patient"},
		Attributes: []string{attributeAge, attributeHealth}, Run: immunizations,
	}}
}

func (v *view) immunizations() []*chart.Resource {
	v.look(attributeHealth, "Immunization")
	return v.of.Resources("Immunization")
}

// dose is one administration that counts, or may count.
type dose struct {
	*chart.Immunization
	from, to time.Time  // of the day it was given on
	sure     bool       // it is of the set, and was given
	old      fact.State // enough, and not subpotent
}

// immunizations counts the valid doses of a vaccine. Ages and intervals are those
// of the calendar: what is given on the day that the age is reached is given at
// that age.
func immunizations(s *Session, c *Call) (*ast.Term, error) {
	set := c.set("set")
	v := &fact.Value{Name: set.title}
	doses := s.doses(set)
	_, reasons := s.chart.complete("Immunization")
	var least dates.Interval // when the age is reached
	if c.has("min_age") {
		p, why := s.chart.patient(attributeAge)
		switch {
		case p == nil:
			reasons = fact.Merge(reasons, why)
		case p.Birth.From.IsZero() || p.Birth.To.IsZero():
			reasons = fact.Merge(reasons, []fact.Reason{{Code: fact.NoData, What: "birth date"}})
		default:
			least.From = ageOn(p.Birth.From, c)
			least.To = ageOn(p.Birth.To, c)
			v.Evidence = append(v.Evidence, p.Evidence("birth date", p.Birth.Text))
		}
	}
	for _, d := range doses {
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, d.Evidence(), s.lib.library.bounds.Evidence)
	}
	if len(doses) > 0 {
		v.When = doses[len(doses)-1].Given.Text
	}
	if v.Reasons = reasons; len(reasons) > 0 {
		return s.newValue(v)
	}
	for i := range doses {
		if d := &doses[i]; c.has("min_age") && d.old != fact.False {
			d.old = d.atLeast(least)
		}
	}
	var gap *dates.Duration
	if c.has("min_interval") {
		d := c.duration("min_interval")
		gap = &d
	}
	low, high := count(doses, gap)
	v.State, v.Low, v.High = fact.Known, apd.New(int64(low), 0), apd.New(int64(high), 0)
	return s.newValue(v)
}

// ageOn is the first moment at which someone born at a time has the age wanted, less
// the grace.
func ageOn(birth time.Time, c *Call) time.Time {
	t := birthday(birth, c.duration("min_age"))
	if c.has("grace") {
		t = c.duration("grace").Before(t)
	}
	return t
}

func startOfDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// atLeast asks whether a dose was given at the age that is reached at some time.
func (d *dose) atLeast(reached dates.Interval) fact.State {
	switch {
	case !d.from.Before(reached.To):
		return fact.True
	case d.to.Before(reached.From):
		return fact.False
	default:
		return fact.Unknown
	}
}

// doses collects the administrations of a set, by date, those of one day once. One
// without a date that can be, or is, may have been given at any time.
func (s *Session) doses(set *valueSet) (list []dose) {
	now := s.chart.now()
	for _, r := range s.chart.immunizations() {
		kind, _ := set.match(r)
		if kind == fact.False {
			continue
		}
		d := dose{Immunization: s.chart.of.Immunization(r), to: now, old: fact.True}
		if d.Status == "not-done" {
			continue
		}
		d.sure = kind == fact.True && d.Status == "completed"
		switch {
		case d.Given.After(now) == fact.True:
			d.sure = false
		case d.Given.Known():
			d.from, d.to = startOfDay(d.Given.From.In(now.Location())), startOfDay(d.Given.To.In(now.Location()))
		}
		if d.Subpotent {
			d.old = fact.False
		}
		at := slices.IndexFunc(list, func(o dose) bool { return d.exact() && o.exact() && o.from.Equal(d.from) })
		switch {
		case at < 0:
			list = append(list, d)
		case d.sure && !list[at].sure || d.sure == list[at].sure && list[at].old == fact.False:
			list[at] = d
		}
	}
	slices.SortStableFunc(list, func(a, b dose) int { return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to)) })
	return list
}

// exact reports whether it is known to the day when a dose was given.
func (d *dose) exact() bool { return d.from.Equal(d.to) }

// count returns the least and the greatest number of doses that may be valid. A dose
// is valid if it was given at the age, and long enough after the one before. Two
// that may have been given on one day may be one.
func count(doses []dose, gap *dates.Duration) (low, high int) {
	certain, first := 0, true // of several, the first is valid whatever their intervals
	for i := range doses {
		d := &doses[i]
		if d.sure {
			certain++
		}
		first = first && d.old == fact.True
		if d.old == fact.False {
			continue
		}
		always, ever := d.sure && d.old == fact.True, true
		for j := range doses {
			o := &doses[j]
			if i == j || o.from.After(d.to) {
				continue
			}
			if gap != nil { // it may have come before
				always = always && !gap.After(o.to).After(d.from)
				ever = ever && !(o.sure && o.to.Before(d.from) && gap.After(o.from).After(d.to))
			} else if !d.exact() && !d.from.After(o.to) {
				always = always && !o.exact() && i < j
			}
		}
		if always {
			low++
		}
		if ever {
			high++
		}
	}
	if low == 0 && first && certain > 0 {
		low = 1
	}
	return low, high
}
