package chart

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// Range is a number known to lie between two bounds, both included. A nil High is
// a bound nobody knows; a nil Low is nothing at all.
type Range struct{ Low, High *apd.Decimal }

// Known reports whether anything is known.
func (r Range) Known() bool { return r.Low != nil }

// doseArithmetic is decimal and the same on every machine. A third of a dose a day
// has more digits than any result shows.
var doseArithmetic = apd.Context{Precision: 34, MaxExponent: 1000, MinExponent: -1000, Rounding: apd.RoundHalfUp}

type operation = func(d, x, y *apd.Decimal) (apd.Condition, error)

func calculate(op operation, x, y *apd.Decimal) *apd.Decimal {
	if x == nil || y == nil {
		return nil
	}
	d := new(apd.Decimal)
	if _, err := op(d, x, y); err != nil || d.Form != apd.Finite {
		return nil
	}
	return d
}

// Times multiplies two ranges of numbers that are not negative.
func (r Range) Times(o Range) Range {
	return Range{calculate(doseArithmetic.Mul, r.Low, o.Low), calculate(doseArithmetic.Mul, r.High, o.High)}
}

// Over divides by a range of numbers above zero. The result is open where the
// divisor may be zero, and zero where it has no upper bound.
func (r Range) Over(o Range) Range {
	out := Range{Low: new(apd.Decimal)}
	if o.High != nil && !o.High.IsZero() {
		out.Low = calculate(doseArithmetic.Quo, r.Low, o.High)
	}
	if o.Low != nil && !o.Low.IsZero() {
		out.High = calculate(doseArithmetic.Quo, r.High, o.Low)
	}
	return out
}

// Plus adds two ranges.
func (r Range) Plus(o Range) Range {
	return Range{calculate(doseArithmetic.Add, r.Low, o.Low), calculate(doseArithmetic.Add, r.High, o.High)}
}

// Upper takes the larger of both bounds: the most of two that come in turn.
func (r Range) Upper(o Range) Range { return Range{larger(r.Low, o.Low), largerOpen(r.High, o.High)} }

// Hull is either of two.
func (r Range) Hull(o Range) Range { return Range{smaller(r.Low, o.Low), largerOpen(r.High, o.High)} }

func larger(a, b *apd.Decimal) *apd.Decimal {
	if a == nil || b != nil && b.Cmp(a) > 0 {
		return b
	}
	return a
}

func largerOpen(a, b *apd.Decimal) *apd.Decimal {
	if a == nil || b == nil {
		return nil
	}
	return larger(a, b)
}

func smaller(a, b *apd.Decimal) *apd.Decimal {
	if a == nil || b != nil && b.Cmp(a) < 0 {
		return b
	}
	return a
}

// FromZero is the range down to zero: what is given only if it is needed.
func (r Range) FromZero() Range { return Range{new(apd.Decimal), r.High} }

// AtMost cuts a range off at a limit. It reports false if the whole range lies above
// the limit, and so contradicts it.
func (r Range) AtMost(most *apd.Decimal) (Range, bool) {
	switch {
	case most == nil:
	case r.Low != nil && r.Low.Cmp(most) > 0:
		return r, false
	case r.High == nil || r.High.Cmp(most) > 0:
		r.High = most
	}
	return r, true
}

// same reports whether two ranges are equal.
func (r Range) same(o Range) bool { return sameNumber(r.Low, o.Low) && sameNumber(r.High, o.High) }

func sameNumber(a, b *apd.Decimal) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0
}

func (r Range) disjoint(o Range) bool {
	return r.High != nil && o.Low != nil && r.High.Cmp(o.Low) < 0 || o.High != nil && r.Low != nil &&
		o.High.Cmp(r.Low) < 0
}

// Basis says what an amount was read from.
type Basis string

// The ways in which a dosage can be read.
const (
	BasisNone       Basis = "none"
	BasisText       Basis = "text"
	BasisStructured Basis = "structured"
)

// Amount is how much of a drug is given, in a unit. The zero Amount is none.
type Amount struct {
	Range
	Unit units.DoseUnit
}

// Instruction is one dosage instruction, as far as it can be read.
type Instruction struct {
	Sequence int // 0 if it has none
	Text     string
	Basis    Basis
	// Doses say how much is given at one time, in one or more units that mean the
	// same (5 mg/kg, calculated 250 mg); none if nobody can tell.
	Doses []Amount
	// Rates say how much runs in an hour, where no dose is given.
	Rates []Amount
	// Times is how often in a day; fractions for what is given every few days.
	Times    Range
	AsNeeded bool
	// Most are the limits on what is given in a day (maxDosePerPeriod).
	Most []Amount
	// MostAtOnce are the limits on one dose (maxDosePerAdministration).
	MostAtOnce []Amount
	Start, End dates.Interval // of boundsPeriod
	Days       Range          // how long, by boundsDuration, boundsRange or boundsPeriod
	Count      Range          // how often in all
	// Reason says why the instruction cannot be read; it is zero if it can.
	Reason fact.Reason

	timing rawjson.Value
}

// Dosing is what a medication resource says about dosage.
type Dosing struct {
	Instructions []Instruction
	Text         string // of all instructions, as sent
}

// maxLimits bounds the limits of one instruction that are read: they only lower what is
// read without them.
const maxLimits = 8

// maxInstructions bounds the instructions that are read; with more of them nothing is.
const maxInstructions = 64

// unread is the reason for a dosage that cannot be read.
var unread = fact.Reason{Code: fact.UnparseableDose, What: "medication"}

// Contradictory is the reason for a dosage that says two things.
var Contradictory = fact.Reason{Code: fact.Ambiguous, What: "dosage"}

// Dosing reads the dosage instructions of a MedicationRequest, -Statement or
// -Dispense of FHIR R5, R4, R4B or STU3, and the dosage of a
// MedicationAdministration. Nothing is guessed: an instruction that has a part
// which cannot be read with certainty says so.
func (c *Chart) Dosing(r *Resource) *Dosing {
	if d := c.dosings[r]; d != nil {
		return d
	}
	if c.dosings == nil {
		c.dosings = map[*Resource]*Dosing{}
	}
	c.dosings[r] = c.readDosing(r)
	return c.dosings[r]
}

// Cost is how much it takes to put the instructions together, in instructions.
func (d *Dosing) Cost() int {
	return 1 + len(d.Instructions) + len(d.Instructions)*len(d.Instructions)/8
}

func (c *Chart) readDosing(r *Resource) *Dosing {
	d := &Dosing{}
	rendered := ""
	for m := r.JSON.Members(); m.Next(); {
		switch m.Name {
		case "dosageInstruction", "dosage":
			for e := m.Value.Elements(); e.Next(); {
				if len(d.Instructions) == maxInstructions {
					d.Instructions = []Instruction{{Reason: unread, Basis: BasisNone}}
					return d
				}
				if in, says := c.instruction(e.Value, r.Type); says {
					d.Instructions = append(d.Instructions, in)
				}
			}
		case "renderedDosageInstruction":
			rendered = m.Value.Text()
		}
	}
	if len(d.Instructions) == 0 && rendered != "" {
		in := Instruction{Text: rendered, Basis: BasisNone}
		in.settle(parts{})
		d.Instructions = []Instruction{in}
	}
	var texts []string
	for i := range d.Instructions {
		if t := d.Instructions[i].Text; t != "" {
			texts = append(texts, t)
		}
	}
	d.Text = cmp.Or(strings.Join(texts, "; "), rendered)
	return d
}

// parts is what the structure of an instruction holds beside its text.
type parts struct {
	doses, timing     bool // it has some
	badDose, badTimes bool // and it cannot be read
	contradict        bool
}

// instruction reads one Dosage, or the dosage of an administration. Says is false for
// one that is not about how much or how often: a route or advice alone adds nothing
// to the others.
func (c *Chart) instruction(v rawjson.Value, typ string) (in Instruction, says bool) {
	in.Basis = BasisNone
	var p parts
	if !v.IsObject() {
		in.Reason = unread
		return in, true
	}
	for m := v.Members(); m.Next(); {
		if m.Value.Missing() {
			continue
		}
		switch m.Name {
		case "modifierExtension": // must be understood, and is not
			if m.Value != "[]" {
				in.Reason = unread
			}
		case "sequence":
			if n, err := units.ParseNumber(string(m.Value)); err == nil {
				s, _ := n.Int64()
				in.Sequence = int(min(max(s, 0), 1<<30))
			}
		case "text":
			in.Text = strings.TrimSpace(m.Value.Text())
		case "timing":
			p.timing, in.timing = true, m.Value
			c.readTiming(&in, &p, m.Value)
		case "asNeededBoolean":
			in.AsNeeded = in.AsNeeded || m.Value == "true"
		case "asNeeded":
			in.AsNeeded = in.AsNeeded || m.Value == "true"
		case "asNeededCodeableConcept":
			in.AsNeeded = true
		case "asNeededFor":
			in.AsNeeded = in.AsNeeded || m.Value != "[]"
		case "doseAndRate":
			for e := m.Value.Elements(); e.Next(); {
				in.doseAndRate(&p, e.Value)
			}
		case "doseQuantity", "doseRange", "rateQuantity", "rateRatio", "rateRange", "dose", "quantity":
			in.amount(&p, m.Name, m.Value)
		case "maxDosePerPeriod":
			if m.Value.IsObject() {
				in.limit(m.Value)
			}
			for e := m.Value.Elements(); m.Value.IsArray() && e.Next(); {
				in.limit(e.Value)
			}
		case "maxDosePerAdministration":
			if a, ok := amountOf(m.Value); ok && len(in.MostAtOnce) < maxLimits {
				in.MostAtOnce = append(in.MostAtOnce, a)
			}
		}
	}
	says = in.Text != "" || in.timing != "" || p.doses || len(in.Rates) > 0 || in.AsNeeded || len(in.Most) > 0 ||
		in.Reason != (fact.Reason{})
	if typ == "MedicationAdministration" && !p.timing { // it was given once
		in.Times, p.timing = wholeDays(1, 1), true
	}
	in.settle(p)
	return in, says
}

// doseAndRate reads one element of Dosage.doseAndRate: several of them say the same
// in different ways (ordered per kilogram, calculated for this patient).
func (in *Instruction) doseAndRate(p *parts, v rawjson.Value) {
	for m := v.Members(); m.Next(); {
		if !m.Value.Missing() {
			in.amount(p, m.Name, m.Value)
		}
	}
}

// amount reads a dose or a rate.
func (in *Instruction) amount(p *parts, name string, v rawjson.Value) {
	var a Amount
	var ok bool
	switch name {
	case "doseQuantity", "dose", "quantity":
		a, ok = amountOf(v)
	case "doseRange":
		a, ok = amountRange(v)
	case "rateQuantity":
		a, ok = amountOf(v)
	case "rateRange":
		a, ok = amountRange(v)
	case "rateRatio":
		a, ok = rateOf(v)
	default: // type, id, extensions
		return
	}
	if strings.HasPrefix(name, "rate") || ok && a.Unit.Over != "" { // a dose per hour is a rate
		if a.Unit.Over == "min" {
			a.Range, a.Unit.Over = a.Range.Times(Range{apd.New(60, 0), apd.New(60, 0)}), "h"
		}
		if ok && a.Unit.Over == "h" {
			in.Rates = addAmount(in.Rates, a, p)
		}
		return // how fast a dose runs does not matter
	}
	p.doses = true
	if !ok {
		p.badDose = true
		return
	}
	in.Doses = addAmount(in.Doses, a, p)
}

// addAmount adds an amount in another unit. In the same unit it must be the same.
func addAmount(list []Amount, a Amount, p *parts) []Amount {
	for _, have := range list {
		if have.Unit == a.Unit {
			p.contradict = p.contradict || !have.same(a.Range)
			return list
		}
		if have.Unit.Per == a.Unit.Per && have.Unit.Over == a.Unit.Over {
			if low, err := units.ConvertDose(a.Low, a.Unit.Code, have.Unit.Code); err == nil {
				p.contradict = p.contradict || !sameNumber(low, have.Low)
			}
		}
	}
	return append(list, a)
}

// amountOf reads a Quantity; ok is false if it is none, or in no unit known here.
func amountOf(v rawjson.Value) (a Amount, ok bool) {
	var q units.Quantity
	if !quantity(&q, v) || q.Value == nil || q.Value.Negative || q.Comparator != "" {
		return a, false
	}
	if a.Unit, ok = q.Dose(); !ok {
		return a, false
	}
	a.Low, a.High = q.Value, q.Value
	return a, true
}

// amountRange reads a Range. One without a lower end begins at zero.
func amountRange(v rawjson.Value) (a Amount, ok bool) {
	low, high := v.Get("low"), v.Get("high")
	var b Amount
	switch {
	case low.Missing():
		if a, ok = amountOf(high); !ok {
			return a, false
		}
		a.Low = new(apd.Decimal)
		return a, true
	case high.Missing():
		if a, ok = amountOf(low); !ok {
			return a, false
		}
		a.High = nil
		return a, true
	}
	if a, ok = amountOf(low); !ok {
		return a, false
	}
	if b, ok = amountOf(high); !ok || b.Unit != a.Unit || b.High.Cmp(a.Low) < 0 {
		return a, false
	}
	a.High = b.High
	return a, true
}

// rateOf reads a Ratio of an amount and a time.
func rateOf(v rawjson.Value) (a Amount, ok bool) {
	a, ok = amountOf(v.Get("numerator"))
	hours, timed := hoursOf(v.Get("denominator"))
	if !ok || !timed || a.Unit.Over != "" {
		return a, false
	}
	a.Range, a.Unit.Over = a.Over(hours), "h"
	return a, true
}

// hoursOf reads a time in hours.
func hoursOf(v rawjson.Value) (Range, bool) {
	var q units.Quantity
	if !quantity(&q, v) || q.Value == nil || q.Value.Sign() <= 0 || q.Comparator != "" {
		return Range{}, false
	}
	days, ok := period(q.Value, q.Value, cmp.Or(q.Code, q.Unit))
	return days.Times(Range{apd.New(24, 0), apd.New(24, 0)}), ok
}

// limit reads a maxDosePerPeriod as an amount a day.
func (in *Instruction) limit(v rawjson.Value) {
	a, ok := amountOf(v.Get("numerator"))
	hours, timed := hoursOf(v.Get("denominator"))
	if !ok || !timed || a.Unit.Over != "" {
		return // it only lowers what is read without it
	}
	a.Range = a.Times(Range{apd.New(24, 0), apd.New(24, 0)}).Over(hours)
	if len(in.Most) < maxLimits {
		in.Most = append(in.Most, a)
	}
}

// dayUnits are the lengths of units of time in days; a month and a year have no
// one length.
var dayUnits = map[string]Range{
	"d": wholeDays(1, 1), "wk": wholeDays(7, 7), "mo": wholeDays(28, 31), "a": wholeDays(365, 366),
	"h":   {fraction(1, 24), fraction(1, 24)},
	"min": {fraction(1, 1440), fraction(1, 1440)}, "s": {fraction(1, 86400), fraction(1, 86400)},
}

func wholeDays(low, high int64) Range { return Range{apd.New(low, 0), apd.New(high, 0)} }

func fraction(n, d int64) *apd.Decimal {
	return calculate(doseArithmetic.Quo, apd.New(n, 0), apd.New(d, 0))
}

// period returns a time in days. Hours, minutes and seconds are divided last, so
// that eight hours are a third of a day and no more.
func period(low, high *apd.Decimal, unit string) (Range, bool) {
	if unit != "s" {
		unit = strings.TrimSuffix(strings.ToLower(unit), "s")
	}
	switch unit {
	case "day":
		unit = "d"
	case "hour", "hr":
		unit = "h"
	case "week":
		unit = "wk"
	case "month":
		unit = "mo"
	case "year":
		unit = "a"
	case "minute":
		unit = "min"
	}
	length, ok := dayUnits[unit]
	if !ok {
		return Range{}, false
	}
	parts := map[string]int64{"h": 24, "min": 1440, "s": 86400}[unit]
	if parts > 0 {
		return Range{low, high}.Over(wholeDays(parts, parts)), true
	}
	return Range{low, high}.Times(length), true
}

// settle decides what an instruction says, by its structure and its text.
func (in *Instruction) settle(p parts) {
	if in.Reason != (fact.Reason{}) {
		return
	}
	text, certain := readSig(in.Text)
	in.AsNeeded = in.AsNeeded || mentionsNeed(in.Text)
	switch {
	case p.contradict:
		in.Reason = Contradictory
	case p.badDose || p.badTimes:
		in.Reason = unread
	case p.doses && p.timing && in.Times.Known():
		in.Basis = BasisStructured
		if certain && in.contradicts(text) {
			in.Reason = Contradictory
		}
	case len(in.Rates) > 0 && !p.doses:
		in.Basis = BasisStructured
	case certain:
		in.fill(text)
	case len(in.Most) > 0 && in.AsNeeded: // how much at most is all that is known
		in.Basis = BasisStructured
	default:
		in.Reason = unread
	}
}

// contradicts reports whether the text surely says something else.
func (in *Instruction) contradicts(text sig) bool {
	dose := text.dose
	for _, a := range in.Doses {
		if a.Unit == dose.Unit {
			return a.Range.Times(in.Times).disjoint(dose.Range.Times(text.times))
		}
		if low, err := units.ConvertDose(dose.Low, dose.Unit.Code, a.Unit.Code); err == nil && a.Unit.Per == "" {
			high, _ := units.ConvertDose(dose.High, dose.Unit.Code, a.Unit.Code)
			return a.Range.Times(in.Times).disjoint(Range{low, high}.Times(text.times))
		}
	}
	return in.Times.disjoint(text.times) // 5 mg and 1 tablet: how often can be compared
}

// fill takes from the text what the structure lacks. What both say must agree.
func (in *Instruction) fill(text sig) {
	if in.Times.Known() && in.Times.disjoint(text.times) ||
		len(in.Doses) > 0 && in.Doses[0].Unit == text.dose.Unit && in.Doses[0].disjoint(text.dose.Range) {
		in.Reason = Contradictory
		return
	}
	in.Basis = BasisText
	if len(in.Doses) == 0 {
		in.Doses = []Amount{text.dose}
	}
	if !in.Times.Known() {
		in.Times = text.times
	}
}

// PerDay applies to a day what an instruction says of one time: an amount per dose
// becomes an amount a day, from zero if it is given as needed.
func (in *Instruction) PerDay(dose Range) Range {
	day := dose.Times(in.Times)
	if in.AsNeeded {
		day = day.FromZero()
	}
	return day
}

// Reading tells what an instruction amounts to; the reason is zero if it can be
// told.
type Reading func(*Instruction) (Range, fact.Reason)

// Sum is what instructions amount to together.
type Sum struct {
	Range
	Basis   Basis // the weakest that counts; BasisNone if nothing could be read
	Reasons []fact.Reason
}

// add takes one more instruction into what is given at the same time. What cannot be
// read leaves the upper bound open and adds nothing to the lower.
func (s *Sum) add(in *Instruction, r Range, why fact.Reason) {
	if why != (fact.Reason{}) {
		s.Reasons = fact.Merge(s.Reasons, []fact.Reason{why})
		s.High = nil
		return
	}
	s.Range = s.Plus(r)
	if s.Basis != BasisText {
		s.Basis = in.Basis
	}
}

func newSum() Sum { return Sum{Range: Range{new(apd.Decimal), new(apd.Decimal)}, Basis: BasisNone} }

// Largest returns the most that the instructions ask for: of steps that come one
// after the other the largest, of what is given at the same time the sum.
func (d *Dosing) Largest(read Reading) Sum {
	steps, why := d.steps(read)
	if why != nil {
		return Sum{Basis: BasisNone, Reasons: why, Range: Range{Low: new(apd.Decimal)}}
	}
	out := steps[0].sum
	for _, s := range steps[1:] {
		out.Range = out.Upper(s.sum.Range)
		out.join(s.sum)
	}
	return out
}

// At returns what the instructions ask for at some time. Steps that surely lie before
// or after do not count; where nobody can tell which is under way, it is either.
func (d *Dosing) At(now time.Time, read Reading) Sum {
	steps, why := d.steps(read)
	if why != nil {
		return Sum{Basis: BasisNone, Reasons: why, Range: Range{Low: new(apd.Decimal)}}
	}
	var out *Sum
	certain := false
	for _, s := range steps {
		state := s.during(now)
		if len(steps) > 1 && (state == fact.False || certain && state == fact.Unknown) {
			continue
		}
		if out == nil || state == fact.True && !certain {
			one := s.sum
			out, certain = &one, state == fact.True
			continue
		}
		out.Range = out.Hull(s.sum.Range)
		out.join(s.sum)
	}
	if out == nil { // all steps are over or to come
		sum := d.Largest(read)
		sum.Range = sum.FromZero()
		return sum
	}
	return *out
}

func (s *Sum) join(o Sum) {
	s.Reasons = fact.Merge(s.Reasons, o.Reasons)
	if o.Basis == BasisText || s.Basis == BasisNone {
		s.Basis = o.Basis
	}
}

// step is what is given at the same time.
type step struct {
	sum        Sum
	start, end dates.Interval
}

func (s *step) during(now time.Time) fact.State {
	begun, lasts := fact.Unknown, fact.Unknown
	if s.start.Known() {
		begun = not(s.start.After(now))
	}
	if s.end.Known() {
		lasts = not(s.end.Before(now))
	}
	switch {
	case begun == fact.False || lasts == fact.False:
		return fact.False
	case begun == fact.True && lasts == fact.True:
		return fact.True
	default:
		return fact.Unknown
	}
}

func not(s fact.State) fact.State {
	switch s {
	case fact.True:
		return fact.False
	case fact.False:
		return fact.True
	default:
		return fact.Unknown
	}
}

// steps puts instructions together: those with one sequence number, or none, are
// given at the same time, others one after the other. Why says what keeps it from
// that.
func (d *Dosing) steps(read Reading) (steps []step, why []fact.Reason) {
	if len(d.Instructions) == 0 {
		return nil, []fact.Reason{{Code: fact.NoData, What: "dosage"}}
	}
	list := make([]*Instruction, len(d.Instructions))
	for i := range d.Instructions {
		list[i] = &d.Instructions[i]
	}
	slices.SortStableFunc(list, func(a, b *Instruction) int { return cmp.Compare(a.Sequence, b.Sequence) })
	first, last := list[0].Sequence, list[len(list)-1].Sequence
	if first == 0 && last > 0 {
		return nil, []fact.Reason{Contradictory} // some come in turn, and some nobody knows when
	}
	apart := first == last && len(list) > 1 && consecutive(list)
	for i := 0; i < len(list); {
		n := i + 1
		for !apart && n < len(list) && list[n].Sequence == list[i].Sequence {
			n++
		}
		steps = append(steps, together(list[i:n], read))
		i = n
	}
	return steps, nil
}

// consecutive reports whether the periods of instructions surely do not overlap:
// they come one after the other though no number says so.
func consecutive(list []*Instruction) bool {
	for i, a := range list {
		for _, b := range list[i+1:] {
			if !before(a, b) && !before(b, a) {
				return false
			}
		}
	}
	return true
}

// before reports whether one period ends, at the latest, on the day on which the
// other begins.
func before(a, b *Instruction) bool {
	return a.Start.Known() && !a.End.To.IsZero() && !b.Start.From.IsZero() && a.Start.From.Before(b.Start.From) &&
		a.End.To.Before(b.Start.From.Add(24*time.Hour))
}

// together adds instructions that hold at the same time. Two with the same timing
// and another dose contradict each other; two that are the same in all may be one
// that was sent twice.
func together(list []*Instruction, read Reading) step {
	s := step{sum: newSum(), start: list[0].Start, end: list[0].End}
	ranges, reasons := make([]Range, len(list)), make([]fact.Reason, len(list))
	twice := newSum()
	for i, in := range list {
		ranges[i], reasons[i] = read(in)
		if in.Reason != (fact.Reason{}) {
			reasons[i] = in.Reason
		}
		repeats := false
		for j, other := range list[:i] {
			if reasons[i] != (fact.Reason{}) || reasons[j] != (fact.Reason{}) || in.timing != other.timing ||
				in.AsNeeded != other.AsNeeded || in.Text != other.Text && in.timing == "" {
				continue
			}
			if !ranges[i].same(ranges[j]) {
				reasons[i] = Contradictory
			}
			repeats = true
		}
		if repeats && reasons[i] == (fact.Reason{}) {
			twice.add(in, ranges[i].FromZero(), fact.Reason{})
			twice.Reasons = []fact.Reason{Contradictory}
			continue
		}
		if i > 0 && (s.start != in.Start || s.end != in.End) {
			s.start, s.end = dates.Interval{}, dates.Interval{}
		}
		s.sum.add(in, ranges[i], reasons[i])
	}
	contradicted := slices.Contains(reasons, Contradictory)
	if s.sum.Range = s.sum.Plus(twice.Range); contradicted {
		s.sum.Range = Range{Low: new(apd.Decimal)}
	}
	s.sum.Reasons = fact.Merge(s.sum.Reasons, twice.Reasons)
	if s.sum.High == nil && len(s.sum.Reasons) == 0 {
		s.sum.Reasons = []fact.Reason{unread}
	}
	return s
}

// Strengths returns what the terminology release says of how much a drug holds. Agree
// is false if its codings are of products that hold different amounts.
func (c *Chart) Strengths(d *Drug) (list []Strength, agree bool) {
	for _, code := range d.Codings {
	next:
		for _, s := range c.in.Terminology.Strengths(code.System, code.Code) {
			for _, have := range list {
				if have.Ingredient.same(s.Ingredient) && have.PerUnit == s.PerUnit {
					if have.Unit != s.Unit || have.Amount.Cmp(&s.Amount) != 0 || have.PerAmount.Cmp(&s.PerAmount) != 0 {
						return nil, false
					}
					continue next
				}
			}
			list = append(list, s)
		}
	}
	return list, true
}

// Supply is how much of a drug an order or dispense hands out.
type Supply struct {
	Days     Range  // as stated; nothing if it is not
	Quantity Amount // of one handing out
	Refills  Range  // beside the first; nothing if it is not stated
	// Unread says that a number is given and cannot be read.
	Unread bool
}

// Supply reads the supply of a MedicationRequest or -Dispense.
func (c *Chart) Supply(r *Resource) Supply {
	var s Supply
	read := func(name string, v rawjson.Value) {
		if v.Missing() {
			return
		}
		ok := true
		switch name {
		case "expectedSupplyDuration", "daysSupply":
			if s.Days, ok = durationOf(v); !ok {
				s.Days, ok = bareDays(v)
			}
		case "quantity":
			s.Quantity, ok = amountOf(v)
		case "numberOfRepeatsAllowed":
			n, err := units.ParseNumber(string(v))
			if ok = err == nil && n.Sign() >= 0; ok {
				s.Refills = Range{n, n}
			}
		}
		s.Unread = s.Unread || !ok
	}
	for m := r.JSON.Members(); m.Next(); {
		if m.Name != "dispenseRequest" {
			read(m.Name, m.Value)
			continue
		}
		for d := m.Value.Members(); d.Next(); {
			read(d.Name, d.Value)
		}
	}
	return s
}

// bareDays reads a supply that is sent without a unit: FHIR has days alone for it in
// all that senders write so.
func bareDays(v rawjson.Value) (Range, bool) {
	var q units.Quantity
	if !quantity(&q, v) || q.Value == nil || q.Value.Sign() <= 0 || q.Comparator != "" || q.Code+q.Unit != "" {
		return Range{}, false
	}
	return Range{q.Value, q.Value}, true
}
