package clinical

import (
	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"
	"slices"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// bodyQuestions are about the size of the body, and what is computed from it.
func bodyQuestions() []Function {
	unit := func(words ...string) Option {
		return Option{Name: "unit", Kind: KindEnum, Words: words, Required: true, Doc: "unit of the answer"}
	}
	age := Option{Name: "max_age", Kind: KindDuration, Param: true,
		Doc: "older measurements do not count; if not given: 24 hours under 28 days of age, 7 days under a year, " +
			"90 days under 18 years, else 365 days"}
	maxAge := Option{Name: "max_age", Kind: KindDuration, Required: true, Param: true, Doc: "older results do not count"}
	reads, attributes := []string{"Observation", "Patient"}, []string{attributeAge, attributeHealth}
	withSex := []string{attributeSex, attributeAge, attributeHealth}
	const open = "as `fhir.lab`, and if the age is not known well enough to tell how old a measurement may be"
	of := func(name, doc, unknown string, attributes []string, run implementation, options ...Option) Function {
		f := Function{Name: name, Doc: doc, Unknown: unknown, Options: options, Result: typeValue, Reads: reads,
			Attributes: attributes, Run: run}
		if !slices.Contains(attributes, attributeAge) {
			f.Reads = []string{"Observation"}
		}
		return f
	}
	absent := func(f Function) Function {
		f.Absent = "there is none, and all results are there"
		return f
	}
	return []Function{
		absent(of("fhir.weight", "newest body weight", open, attributes, weight, unit("kg", "g", "[lb_av]"), age)),
		absent(of("fhir.height", "newest body height", open, attributes, height, unit("cm", "m", "[in_i]"), age)),
		absent(of("fhir.bmi", "the newest of reported body mass index and of weight, the latter by height², to one "+
			"decimal; measured together the reported one", open, attributes, bmi, age)),
		of("fhir.bsa", "body surface by Mosteller (N Engl J Med 1987;317:1098): √(cm × kg ÷ 3600), to two "+
			"decimals", open, attributes, bsa, age),
		of("fhir.crcl", "creatinine clearance by Cockcroft-Gault in mL/min, to one decimal (over both sexes if sex is not "+
			"known); the method says which weight: `actual`, `ideal` (Devine), or `adjusted` (ideal + 0.4 × (actual − "+
			"ideal) where actual is more)", "under 18 (`not-applicable`) or perhaps under 18 "+
			"(`precision-insufficient`), as `fhir.lab` for creatinine, weight and, for ideal and adjusted weight, height; "+
			"a height under 60 inches has no ideal weight", withSex, crcl, maxAge,
			Option{Name: "weight", Kind: KindEnum, Words: []string{"actual", "ideal", "adjusted"}, Required: true,
				Param: true, Doc: "the weight to compute with"},
			Option{Name: "weight_max_age", Kind: KindDuration, Param: true, Doc: "as `max_age` of `fhir.weight`"}),
		of("fhir.egfr_child", "eGFR from 1 to under 18 years by bedside Schwartz (0.413 × cm ÷ mg/dL) from the newest "+
			"creatinine, to one decimal", "at another age (`not-applicable`) or perhaps at another age "+
			"(`precision-insufficient`), as `fhir.lab` for creatinine and height",
			attributes, egfrChild, maxAge),
		absent(of("fhir.qtc", "the newest of reported QTc and of QT with the heart rate of the same time, the latter by "+
			"the formula, rounded to whole ms (over all rates of that time); of one ECG the computed one, because a "+
			"reported one does not say by which formula", "as `fhir.lab`, and if there is no heart rate of the same time",
			[]string{attributeHealth}, qtc, maxAge,
			Option{Name: "formula", Kind: KindEnum, Words: []string{"bazett", "fridericia"}, Required: true,
				Param: true, Doc: "QT ÷ √RR or QT ÷ ∛RR, RR in seconds"})),
	}
}

func loincKind(a units.Analyte, unit string) *kind {
	return &kind{name: string(a), codes: loincs(a), analyte: a, unit: unit}
}

// newestBody returns the newest measurement of the body, no older than the age allows
// unless a greatest age is given.
func (s *Session) newestBody(c *Call, option string, kinds ...*kind) *fact.Value {
	maxAge, ok := s.bodyAge()
	if c.has(option) {
		maxAge, ok = c.duration(option), true
	}
	k := kinds[0]
	if !ok {
		return &fact.Value{Name: k.name, Unit: k.unit, Reasons: []fact.Reason{{Code: fact.PrecisionInsufficient,
			What: "birth date"}}}
	}
	return s.newestOf(k.name, k.unit, maxAge, kinds...)
}

// bodyAge is how old a measurement of the body may be at the patient's age; ok is
// false if the birth date leaves that open. Whoever has none is taken for an adult only
// if that is certain.
func (s *Session) bodyAge() (dates.Duration, bool) {
	years, days := s.ageIn("a"), s.ageIn("d")
	if years.State != fact.Known || days.State != fact.Known || years.High == nil || days.High == nil {
		return dates.Duration{}, false
	}
	band := func(years, days *apd.Decimal) dates.Duration {
		switch {
		case years.Cmp(apd.New(18, 0)) >= 0:
			return dates.Duration{Days: 365}
		case years.Cmp(apd.New(1, 0)) >= 0:
			return dates.Duration{Days: 90}
		case days.Cmp(apd.New(28, 0)) >= 0:
			return dates.Duration{Days: 7}
		default:
			return dates.Duration{Days: 1}
		}
	}
	young, old := band(years.Low, days.Low), band(years.High, days.High)
	return old, young == old
}

func spanOf(s *Session, k *kind) *kind {
	k.value = func(top []reading) *fact.Value { return s.span(k.name, k.unit, top) }
	return k
}

func weight(s *Session, c *Call) (*ast.Term, error) {
	return s.newValue(s.newestBody(c, "max_age", spanOf(s, loincKind(units.Weight, c.text("unit")))))
}

func height(s *Session, c *Call) (*ast.Term, error) {
	return s.newValue(s.newestBody(c, "max_age", spanOf(s, loincKind(units.Height, c.text("unit")))))
}

func bmi(s *Session, c *Call) (*ast.Term, error) {
	tall := s.newestBody(c, "max_age", spanOf(s, loincKind(units.Height, "m")))
	reported := spanOf(s, loincKind(units.BMI, "kg/m2"))
	weights := loincKind(units.Weight, "kg")
	weights.value = func(top []reading) *fact.Value {
		square := fact.Calculate(fact.Multiply, tall, tall, "height²", "m2", 8)
		v := fact.Calculate(fact.Divide, s.span(weights.name, "kg", top), square, reported.name, "kg/m2", 1)
		v.Method = "weight by height²"
		return v
	}
	v := s.newestBody(c, "max_age", reported, weights)
	return s.newValue(v)
}

func bsa(s *Session, c *Call) (*ast.Term, error) {
	tall := s.newestBody(c, "max_age", spanOf(s, loincKind(units.Height, "cm")))
	heavy := s.newestBody(c, "max_age", spanOf(s, loincKind(units.Weight, "kg")))
	v := fact.Calculate(fact.Multiply, tall, heavy, "body surface", "m2", 12)
	v.Method = "Mosteller"
	surface := func(d *apd.Decimal) *apd.Decimal {
		if d == nil {
			return nil
		}
		r := new(apd.Decimal)
		must(decimals.Quo(r, d, apd.New(3600, 0)))
		must(decimals.Sqrt(r, r))
		must(decimals.Quantize(r, r, -2))
		return r
	}
	v.Low, v.High = surface(v.Low), surface(v.High)
	if v.Older != nil {
		v.Older.Low, v.Older.High = surface(v.Older.Low), surface(v.Older.High)
	}
	s.limitEvidence(v)
	return s.newValue(v)
}

// notOfAge makes a value unknown whose formula does not hold at the age, or may not; nil
// if it does or the age is not known.
func notOfAge(name, unit, what string, age *fact.Value, holds *fact.Fact) *fact.Value {
	if age.State != fact.Known || holds.State == fact.True {
		return nil
	}
	why := fact.Reason{Code: fact.NotApplicable, What: what}
	if holds.State == fact.Unknown {
		why = fact.Reason{Code: fact.PrecisionInsufficient, What: "birth date"}
	}
	return &fact.Value{Name: name, Unit: unit, Evidence: age.Evidence, Reasons: []fact.Reason{why}}
}

// crcl computes Cockcroft-Gault (Nephron 1976;16:31) over everything its arguments may
// be: it rises with weight and falls with age and creatinine.
func crcl(s *Session, c *Call) (*ast.Term, error) {
	const name, unit = "creatinine clearance", "mL/min"
	age := s.age()
	if v := notOfAge(name, unit, "adult equation", age, fact.Compare(age, fact.GreaterEqual, apd.New(18, 0))); v != nil {
		return s.newValue(v)
	}
	basis := c.text("weight")
	female, male, sex := s.sexes()
	scr := spanOf(s, loincKind(units.Creatinine, "mg/dL"))
	creatinine := s.newestOf(scr.name, scr.unit, c.duration("max_age"), scr)
	heavy := s.newestBody(c, "weight_max_age", spanOf(s, loincKind(units.Weight, "kg")))
	var tall *fact.Value
	if basis != "actual" {
		tall = s.newestBody(c, "weight_max_age", spanOf(s, loincKind(units.Height, "cm")))
	}
	number := func(text string) *fact.Value {
		return &fact.Value{State: fact.Known, Low: dec(text), High: dec(text)}
	}
	do := func(op fact.Operation, a, b *fact.Value) *fact.Value { return fact.Calculate(op, a, b, name, unit, 12) }
	of := func(female bool) *fact.Value {
		mass := heavy
		if basis != "actual" {
			ideal := s.idealWeight(tall, female)
			if mass = ideal; basis == "adjusted" {
				over := do(fact.Subtract, heavy, ideal)
				if over.Low != nil && over.Low.Negative { // who weighs less than that has no more to adjust
					over.Low = new(apd.Decimal)
				}
				if over.High != nil && over.High.Negative {
					over.High = new(apd.Decimal)
				}
				mass = do(fact.Add, ideal, do(fact.Multiply, over, number("0.4")))
				mass = lighter(mass, heavy, ideal)
			}
		}
		v := do(fact.Divide, do(fact.Multiply, do(fact.Subtract, number("140"), age), mass),
			do(fact.Multiply, number("72"), creatinine))
		if female {
			v = do(fact.Multiply, v, number("0.85"))
		}
		return v
	}
	var v *fact.Value
	switch {
	case female && male:
		v = join(of(true), of(false))
	default:
		v = of(female)
	}
	v = fact.Round(v, 1)
	v.Name, v.Unit, v.Method, v.When = name, unit, "Cockcroft-Gault by "+basis+" weight", creatinine.When
	v.Evidence, v.More = nil, 0
	for _, of := range []*fact.Value{creatinine, heavy, tall, age, {Evidence: sex}} {
		if of == nil || of == heavy && basis == "ideal" {
			continue
		}
		for _, e := range of.Evidence {
			v.Evidence, v.More = fact.Keep(v.Evidence, v.More, e, s.lib.library.bounds.Evidence)
		}
	}
	return s.newValue(v)
}

// lighter is the adjusted weight, or the actual one of who may weigh less than the
// ideal: the interval over both where that is not certain.
func lighter(adjusted, actual, ideal *fact.Value) *fact.Value {
	if adjusted.State != fact.Known {
		return adjusted
	}
	switch fact.Relate(actual, fact.Less, ideal).State {
	case fact.True:
		return actual
	case fact.Unknown:
		return join(adjusted, actual)
	default:
		return adjusted
	}
}

// idealWeight is that of Devine (Drug Intell Clin Pharm 1974;8:650): 50 kg, of women
// 45.5, and 2.3 kg for each inch of height over 60. It does not say what holds below.
func (s *Session) idealWeight(tall *fact.Value, female bool) *fact.Value {
	base := dec("50")
	if female {
		base = dec("45.5")
	}
	inches := fact.Calculate(fact.Divide, tall, &fact.Value{State: fact.Known, Low: dec("2.54"), High: dec("2.54")},
		"height", "[in_i]", 12)
	if inches.State == fact.Known && (inches.Low == nil || inches.Low.Cmp(dec("60")) < 0) {
		why := fact.Reason{Code: fact.NotApplicable, What: "ideal weight"}
		if inches.High == nil || inches.High.Cmp(dec("60")) >= 0 {
			why = fact.Reason{Code: fact.PrecisionInsufficient, What: tall.Name}
		}
		return &fact.Value{Name: "ideal weight", Unit: "kg", Evidence: tall.Evidence, Reasons: []fact.Reason{why}}
	}
	over := fact.Calculate(fact.Subtract, inches, &fact.Value{State: fact.Known, Low: dec("60"), High: dec("60")},
		"height", "[in_i]", 12)
	more := fact.Calculate(fact.Multiply, over, &fact.Value{State: fact.Known, Low: dec("2.3"), High: dec("2.3")},
		"ideal weight", "kg", 12)
	return fact.Calculate(fact.Add, more, &fact.Value{State: fact.Known, Low: base, High: base}, "ideal weight", "kg", 12)
}

// egfrChild computes bedside Schwartz (J Am Soc Nephrol 2009;20:629).
func egfrChild(s *Session, c *Call) (*ast.Term, error) {
	age := s.age()
	child := fact.All(fact.Compare(age, fact.GreaterEqual, apd.New(1, 0)), fact.Compare(age, fact.Less, apd.New(18, 0)))
	if v := notOfAge("eGFR", units.Renal, "equation for children", age, child); v != nil {
		return s.newValue(v)
	}
	if age.State != fact.Known {
		return s.newValue(&fact.Value{Name: "eGFR", Unit: units.Renal, Reasons: age.Reasons})
	}
	scr, tall := spanOf(s, loincKind(units.Creatinine, "mg/dL")), spanOf(s, loincKind(units.Height, "cm"))
	maxAge, ok := s.bodyAge()
	if !ok {
		return s.newValue(&fact.Value{Name: "eGFR", Unit: units.Renal,
			Reasons: []fact.Reason{{Code: fact.PrecisionInsufficient, What: "birth date"}}})
	}
	creatinine := s.newestOf(scr.name, scr.unit, c.duration("max_age"), scr)
	length := s.newestOf(tall.name, tall.unit, maxAge, tall)
	k := &fact.Value{State: fact.Known, Low: dec("0.413"), High: dec("0.413")}
	v := fact.Calculate(fact.Divide, fact.Calculate(fact.Multiply, k, length, "eGFR", units.Renal, 12), creatinine, "eGFR",
		units.Renal, 1)
	v.Method, v.When = "bedside Schwartz", creatinine.When
	s.limitEvidence(v)
	return s.newValue(v)
}

// qtc corrects the QT interval for the heart rate.
func qtc(s *Session, c *Call) (*ast.Term, error) {
	formula := c.text("formula")
	name := map[string]string{"bazett": "Bazett", "fridericia": "Fridericia"}[formula]
	reported := spanOf(s, loincKind(units.QTc, "ms"))
	span := reported.value
	reported.value = func(top []reading) *fact.Value {
		v := span(top)
		v.Method = "reported, formula not stated"
		return v
	}
	rates, _ := s.readings(loincKind(units.HeartRate, "/min"))
	measured := loincKind(units.QT, "ms")
	measured.value = func(top []reading) *fact.Value {
		var joined *fact.Value
		for _, r := range top {
			v := s.corrected(r, rates, formula == "bazett")
			if v.Name, v.Method = reported.name, name; joined != nil {
				v = join(joined, v)
			}
			joined = v
		}
		return joined
	}
	return s.newValue(s.newestOf(reported.name, "ms", c.duration("max_age"), measured, reported))
}

// corrected is one QT interval by the heart rate of the same time; of several rates by
// each of them.
func (s *Session) corrected(r reading, rates []reading, root bool) *fact.Value {
	v := &fact.Value{Unit: "ms", When: r.Effective.Text, Evidence: []fact.Evidence{r.Evidence()}}
	var same []reading
	for _, x := range rates {
		if x.reason == nil && x.Effective.From.Equal(r.Effective.From) && x.Effective.To.Equal(r.Effective.To) {
			same = append(same, x)
		}
	}
	if len(same) == 0 {
		v.Reasons = []fact.Reason{{Code: fact.NoData, What: "heart rate at the time of the ECG"}}
		return v
	}
	rate := s.span("heart rate", "/min", same)
	if r.bounds.Low == nil || r.bounds.High == nil || rate.Low == nil || rate.High == nil || rate.Low.IsZero() {
		v.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: "heart rate at the time of the ECG"}}
		return v
	}
	s.witness(v, same)
	v.State = fact.Known
	v.Low, v.High = QTc(r.bounds.Low, rate.Low, root), QTc(r.bounds.High, rate.High, root)
	return v
}

// QTc is the QT interval (ms) corrected for the heart rate (/min): by Bazett, QT ÷ √RR,
// or by Fridericia, QT ÷ ∛RR, RR in seconds; rounded half up to whole ms.
func QTc(qt, rate *apd.Decimal, bazett bool) *apd.Decimal {
	rr, r := new(apd.Decimal), new(apd.Decimal)
	must(decimals.Quo(rr, apd.New(60, 0), rate))
	if bazett {
		must(decimals.Sqrt(rr, rr))
	} else {
		must(decimals.Cbrt(rr, rr))
	}
	must(decimals.Quo(r, qt, rr))
	must(decimals.Quantize(r, r, 0))
	return r
}
