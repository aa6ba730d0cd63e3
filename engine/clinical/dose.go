package clinical

import (
	"slices"
	"strings"

	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// doseQuestions ask how much of a drug is ordered or taken.
func doseQuestions() []Function {
	set := func(doc string) Option {
		return Option{Name: "set", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindMedication}, Required: true,
			Doc: doc}
	}
	unit := Option{Name: "unit", Kind: KindEnum, Words: []string{"mg", "g", "ug", "[IU]", "meq", "mmol"},
		Required: true, Param: true, Doc: "UCUM unit of the amount"}
	drafts := Option{Name: "drafts", Kind: KindFlag, Param: true, Default: true,
		Doc: "with the order at hand and the other drafts of the session"}
	const unread = "the dosage is in words that are not read with certainty, contradictory, or without a unit; " +
		"tablets of a product whose strength the terminology does not have; a dose in milligrams of a product with " +
		"several ingredients; a dose per body weight"
	const open = "a source is incomplete, a drug cannot be identified, or a dose of the set is unknown: a known part " +
		"gives a lower bound"
	return []Function{
		{
			Name: "fhir.daily_dose",
			Doc: "what the order asks for in a day, of the ingredients of the set: the average over the days between " +
				"doses, from zero if it is given as needed, up to a stated maximum; of steps that come one after the " +
				"other the largest; rounded half up to four decimals",
			Unknown: unread, Options: []Option{set("the ingredients; the order's product may hold others"), unit},
			Result: typeValue, Reads: None(), Attributes: None(), NeedsOrder: true, Run: dailyDose,
			Source: "HL7 FHIR R4 and R5, Dosage and Timing; docs/decisions/0021-doses-are-intervals.md",
		},
		{
			Name:    "fhir.single_dose",
			Doc:     "what the order asks for at one time, of the ingredients of the set; the largest",
			Unknown: unread, Options: []Option{set("the ingredients"), unit},
			Result: typeValue, Reads: None(), Attributes: None(), NeedsOrder: true, Run: singleDose,
		},
		{
			Name: "fhir.daily_dose_per_kg",
			Doc: "what the order asks for in a day for each kilogram of body weight, as `fhir.daily_dose`: as ordered " +
				"by weight, else by the newest weight; of the ingredients of the set",
			Unknown: "as `fhir.daily_dose` but for doses by weight, and where the weight is needed, as `fhir.weight`",
			Options: []Option{set("the ingredients"), unit, {Name: "max_age", Kind: KindDuration, Param: true,
				Doc: "as `max_age` of `fhir.weight`"}},
			Result: typeValue, Reads: []string{"Observation", "Patient"},
			Attributes: []string{attributeAge, attributeHealth}, NeedsOrder: true, Run: dailyDosePerKg,
		},
		{
			Name: "fhir.total_daily_dose",
			Doc: "what all that the patient takes adds up to in a day, of the ingredients of the set, across " +
				"products: current orders, statements, dispenses and administrations, each once (what carries out an " +
				"order is the order), and drafts; not what a draft replaces",
			Unknown: open, Options: []Option{set("the ingredients"), unit, drafts},
			Result: typeValue, Reads: exposureTypes, Attributes: []string{attributeHealth}, Run: totalDailyDose,
		},
		{
			Name: "fhir.days_supply",
			Doc: "for how many days the order supplies the patient: as stated, else its quantity by its daily dose, " +
				"else the length of the course",
			Unknown: "nothing of it is stated, or it cannot be read",
			Options: []Option{{Name: "refills", Kind: KindFlag, Param: true, Doc: "with all refills"}},
			Result:  typeValue, Reads: None(), Attributes: None(), NeedsOrder: true, Run: daysSupply,
		},
	}
}

// doser turns the doses of one drug into amounts of the ingredients asked about.
type doser struct {
	unit      string // of the result
	drug      *chart.Drug
	set       *valueSet
	strengths []chart.Strength // of the ingredients of the set
	alone     bool             // the drug holds nothing else
	certain   bool             // its ingredients and strengths are known and agree
	none      bool             // it holds nothing of the set
	perKg     bool             // the result is for each kg of the body
	weight    *fact.Value      // of the body in kg; nil where the result is not for each kg
}

var (
	noStrength    = fact.Reason{Code: fact.NoData, What: "strength of medication"}
	byWeight      = fact.Reason{Code: fact.UnparseableDose, What: "medication by body weight"}
	byCombination = fact.Reason{Code: fact.UnparseableDose, What: "medication with several ingredients"}
	unreadDose    = fact.Reason{Code: fact.UnparseableDose, What: "medication"}
)

func (v *view) dosing(r *chart.Resource) *chart.Dosing { return v.of.Dosing(r) }

func (s *Session) doser(d *chart.Drug, set *valueSet, unit string) *doser {
	x := &doser{unit: unit, drug: d, set: set, alone: len(d.Ingredients) == 1}
	all, agree := s.chart.of.Strengths(d)
	x.certain = agree && d.Identified()
	products := !inSet(set, d.Ingredients)
	if x.none = products && !inSet(set, d.Codings) && x.certain; x.none {
		return x
	}
	for _, st := range all {
		if set.Has(st.Ingredient.System, st.Ingredient.Code) || products && x.alone {
			x.strengths = append(x.strengths, st)
		}
	}
	// A strength for each ingredient that counts, or none of them will do.
	want := 0
	for _, in := range d.Ingredients {
		if set.Has(in.System, in.Code) || products && x.alone {
			want++
		}
	}
	if len(x.strengths) < want {
		x.strengths = nil
	}
	return x
}

// amount turns a dose into an amount of the ingredients. The reason is zero if that
// can be done.
func (x *doser) amount(a chart.Amount) (chart.Range, fact.Reason) {
	switch {
	case !x.certain:
		if x.drug.Identified() {
			return chart.Range{}, chart.Contradictory
		}
		return chart.Range{}, fact.Reason{Code: x.drug.Reason.Code, What: "medication"}
	case x.none:
		return chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}, fact.Reason{}
	}
	r, why := x.plain(a)
	if why != (fact.Reason{}) {
		return r, why
	}
	switch {
	case a.Unit.Per == "m2":
		return chart.Range{}, byWeight
	case a.Unit.Per == "kg" && x.perKg:
		return r, why
	case a.Unit.Per == "kg":
		return chart.Range{}, byWeight
	case x.perKg && x.weight.State != fact.Known:
		return chart.Range{}, x.weight.Why()[0]
	case x.perKg:
		return r.Over(chart.Range{Low: x.weight.Low, High: x.weight.High}), why
	default:
		return r, why
	}
}

// plain converts without regard to the body.
func (x *doser) plain(a chart.Amount) (chart.Range, fact.Reason) {
	if a.Unit.Over != "" {
		return chart.Range{}, unreadDose
	}
	if r, ok := convertRange(a.Range, a.Unit.Code, x.unit); ok {
		switch {
		case !x.alone:
			return chart.Range{}, byCombination
		case x.ofProduct():
			return chart.Range{}, unreadDose // a gram of the cream, or of what is in it?
		}
		return r, fact.Reason{}
	}
	if len(x.strengths) == 0 {
		return chart.Range{}, noStrength
	}
	sum := chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}
	for i := range x.strengths {
		part, ok := x.strengthOf(&x.strengths[i], a)
		if !ok {
			return chart.Range{}, fact.Reason{Code: fact.UnitUnconvertible, What: "dose"}
		}
		sum = sum.Plus(part)
	}
	return sum, fact.Reason{}
}

// ofProduct reports whether a mass may be one of the product rather than of its
// ingredient.
func (x *doser) ofProduct() bool {
	for _, s := range x.strengths {
		if _, ok := convertRange(exactly(&s.Amount), strings.ToLower(s.PerUnit), "g"); ok {
			return true
		}
	}
	switch vocab.Form(x.drug.Form) {
	case vocab.FormTopical, vocab.FormOphthalmic:
		return true
	}
	return false
}

// strengthOf is how much of one ingredient is in a dose.
func (x *doser) strengthOf(s *chart.Strength, a chart.Amount) (chart.Range, bool) {
	unit, ok := units.ParseDoseUnit(s.Unit)
	if !ok || unit.Per != "" || unit.Over != "" {
		return chart.Range{}, false
	}
	dose := a.Range
	if s.PerUnit == "" {
		if a.Unit.Code != units.One {
			return chart.Range{}, false
		}
	} else {
		per, ok := units.ParseDoseUnit(s.PerUnit)
		if !ok || per.Per != "" || per.Over != "" {
			return chart.Range{}, false
		}
		if dose, ok = convertRange(dose, a.Unit.Code, per.Code); !ok {
			return chart.Range{}, false
		}
		dose = dose.Over(exactly(&s.PerAmount))
	}
	return convertRange(dose.Times(exactly(&s.Amount)), unit.Code, x.unit)
}

func exactly(d *apd.Decimal) chart.Range { return chart.Range{Low: d, High: d} }

func convertRange(r chart.Range, from, to string) (chart.Range, bool) {
	low, err := units.ConvertDose(r.Low, from, to)
	if err != nil {
		return chart.Range{}, false
	}
	out := chart.Range{Low: low}
	if r.High != nil {
		if out.High, err = units.ConvertDose(r.High, from, to); err != nil {
			return chart.Range{}, false
		}
	}
	return out, true
}

// once is what an instruction asks for at one time.
func (x *doser) once(in *chart.Instruction) (chart.Range, fact.Reason) {
	if x.none && x.certain {
		return x.amount(chart.Amount{})
	}
	var dose chart.Range
	why := unreadDose
	for _, a := range in.Doses {
		if dose, why = x.amount(a); why == (fact.Reason{}) {
			break
		}
	}
	if why != (fact.Reason{}) {
		return dose, why
	}
	for _, m := range in.MostAtOnce {
		if most, no := x.amount(m); no == (fact.Reason{}) {
			var ok bool
			if dose, ok = dose.AtMost(most.High); !ok {
				return dose, chart.Contradictory
			}
		}
	}
	return dose, fact.Reason{}
}

// daily is what an instruction asks for in a day.
func (x *doser) daily(in *chart.Instruction) (chart.Range, fact.Reason) {
	if x.none && x.certain {
		return x.amount(chart.Amount{})
	}
	day, why := chart.Range{}, unreadDose
	switch {
	case len(in.Doses) > 0 && in.Times.Known():
		var dose chart.Range
		if dose, why = x.once(in); why == (fact.Reason{}) {
			day = in.PerDay(dose)
		}
	case len(in.Doses) == 0 && len(in.Rates) > 0: // it may run all day
		for _, r := range in.Rates {
			r.Unit.Over = ""
			var hour chart.Range
			if hour, why = x.amount(r); why == (fact.Reason{}) {
				day = hour.Times(exactly(apd.New(24, 0))).FromZero()
				break
			}
		}
	}
	if why != (fact.Reason{}) && !in.AsNeeded {
		return day, why
	}
	for _, m := range in.Most {
		most, no := x.amount(m)
		if no != (fact.Reason{}) {
			continue
		}
		if why != (fact.Reason{}) { // the limit is all that is known
			day, why = most.FromZero(), fact.Reason{}
			continue
		}
		var ok bool
		if day, ok = day.AtMost(most.High); !ok {
			return day, chart.Contradictory
		}
	}
	return day, why
}

// doseValue makes a value of a sum: an interval whose upper end is open where something
// of it is unknown, and no value where nothing is known.
func (s *Session) doseValue(name, unit string, decimals int32, sum chart.Sum, evidence ...fact.Evidence) *fact.Value {
	v := &fact.Value{Name: name, Unit: unit, Reasons: sum.Reasons}
	for _, e := range evidence {
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, e, s.lib.library.bounds.Evidence)
	}
	low := roundedTo(sum.Low, decimals)
	if sum.High == nil && (low == nil || low.IsZero()) {
		return v
	}
	v.State, v.Low, v.High = fact.Known, low, roundedTo(sum.High, decimals)
	switch sum.Basis {
	case chart.BasisText:
		v.Method = "dosage read from its text"
	case chart.BasisStructured:
		v.Method = "dosage as structured"
	}
	return v
}

// roundedTo rounds half up, and keeps no zeros behind the point.
func roundedTo(d *apd.Decimal, decimals int32) *apd.Decimal {
	if d == nil {
		return nil
	}
	r := new(apd.Decimal)
	if _, err := decimalsOfDoses.Quantize(r, d, -decimals); err != nil {
		return nil
	}
	r.Reduce(r)
	if r.Exponent > 0 {
		must(decimalsOfDoses.Quantize(r, r, 0))
	}
	return r
}

var decimalsOfDoses = apd.Context{Precision: 100, MaxExponent: 1000, MinExponent: -1000, Rounding: apd.RoundHalfUp}

// doseDecimals are those of doses.
const doseDecimals = 4

// dosed is the evidence of an order's dosage: the text sent, or what was read.
func dosed(e fact.Evidence, d *chart.Dosing) fact.Evidence {
	const most = 200
	if text := []rune(d.Text); len(text) > most {
		e.Value = string(text[:most]) + " …"
	} else {
		e.Value = d.Text
	}
	return e
}

func dailyDose(s *Session, c *Call) (*ast.Term, error) {
	return s.ofOrder(c, "daily dose of ", c.text("unit")+"/d", (*doser).daily)
}

// dailyDosePerKg is dailyDose for each kilogram.
func dailyDosePerKg(s *Session, c *Call) (*ast.Term, error) {
	o := s.subject
	if o == nil {
		return nil, errNoOrder
	}
	x, d := s.doser(&o.Drug, c.set("set"), c.text("unit")), s.chart.dosing(o.Resource)
	if err := s.useCost(d.Cost()); err != nil {
		return nil, err
	}
	x.perKg, x.weight = true, s.newestBody(c, "max_age", spanOf(s, loincKind(units.Weight, "kg")))
	sum := chart.Sum{Range: chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}}
	if !x.none {
		sum = d.Largest(x.daily)
	}
	v := s.doseValue("daily dose of "+c.set("set").title+" by body weight", x.unit+"/kg/d", doseDecimals, sum,
		dosed(o.Evidence(), d))
	for _, e := range x.weight.Evidence {
		v.Evidence, v.More = fact.Keep(v.Evidence, v.More, e, s.lib.library.bounds.Evidence)
	}
	return s.newValue(v)
}

func singleDose(s *Session, c *Call) (*ast.Term, error) {
	return s.ofOrder(c, "single dose of ", c.text("unit"), (*doser).once)
}

// ofOrder asks about the doses of the order at hand.
func (s *Session) ofOrder(c *Call, name, unit string,
	read func(*doser, *chart.Instruction) (chart.Range, fact.Reason)) (*ast.Term, error) {
	o := s.subject
	if o == nil {
		return nil, errNoOrder
	}
	x, d := s.doser(&o.Drug, c.set("set"), c.text("unit")), s.chart.dosing(o.Resource)
	if err := s.useCost(d.Cost()); err != nil {
		return nil, err
	}
	sum := chart.Sum{Range: chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}}
	if !x.none {
		sum = d.Largest(func(in *chart.Instruction) (chart.Range, fact.Reason) { return read(x, in) })
	}
	return s.newValue(s.doseValue(name+c.set("set").title, unit, doseDecimals, sum, dosed(o.Evidence(), d)))
}

// totalDailyDose adds up what is taken of the set.
func totalDailyDose(s *Session, c *Call) (*ast.Term, error) {
	set, unit := c.set("set"), c.text("unit")
	sum, evidence, err := s.total(set, c.flag("drafts"), func(e *chart.Exposure) chart.Reading {
		return s.doser(&e.Drug, set, unit).daily
	})
	if err != nil {
		return nil, err
	}
	return s.newValue(s.doseValue("daily dose of "+set.title, unit+"/d", doseDecimals, sum, evidence...))
}

// part is one exposure in a total.
type part struct {
	*chart.Exposure
	state fact.State // whether it is taken now
	why   []fact.Reason
	sum   chart.Sum
}

// maxAdded bounds what is added up: a patient with more drugs of one kind at once is a
// mistake of the record.
const maxAdded = 100

// total adds up what all current exposures to a set amount to a day. An exposure that
// carries out another one, or that an order of the session replaces, is not counted
// beside it. One that may be the same as another adds to the upper end alone.
func (s *Session) total(set *valueSet, drafts bool, read func(*chart.Exposure) chart.Reading) (chart.Sum,
	[]fact.Evidence, error) {
	sum := chart.Sum{Range: chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}}
	var evidence []fact.Evidence
	lose := func(reasons ...fact.Reason) {
		sum.Reasons, sum.High = fact.Merge(sum.Reasons, reasons), nil
	}
	if complete, gaps := s.chart.complete(exposureTypes...); !complete {
		lose(gaps...)
	}
	var counted []part
	for _, p := range s.counting(set, drafts) {
		if !related(set, p.Exposure) {
			evidence = append(evidence, p.Evidence())
			lose(fact.Reason{Code: p.Drug.Reason.Code, What: "medication"})
			continue
		}
		if len(counted) == maxAdded {
			lose(fact.Reason{Code: fact.Implausible, What: "medications"})
			break
		}
		d := s.chart.dosing(p.Resource)
		if err := s.useCost(d.Cost() + len(counted)); err != nil {
			return sum, nil, err
		}
		p.sum = s.dosedNow(p.Exposure, d, read(p.Exposure))
		evidence = append(evidence, dosed(p.Evidence(), d))
		if p.state == fact.Unknown {
			p.sum.Range, p.sum.Reasons = p.sum.FromZero(), fact.Merge(p.why, p.sum.Reasons)
		}
		switch counted = append(counted, p); relation(counted) {
		case sameSupply:
			counted = counted[:len(counted)-1]
			continue
		case perhapsSame:
			p.sum.Range = p.sum.FromZero()
			p.sum.Reasons = fact.Merge(p.sum.Reasons, []fact.Reason{{Code: fact.Ambiguous, What: "medications"}})
		}
		sum.Range, sum.Reasons = sum.Plus(p.sum.Range), fact.Merge(sum.Reasons, p.sum.Reasons)
		if sum.Basis != chart.BasisText && p.sum.Basis != chart.BasisNone {
			sum.Basis = p.sum.Basis
		}
	}
	return sum, evidence, nil
}

func related(set *valueSet, e *chart.Exposure) bool {
	return inSet(set, e.Drug.Ingredients) || inSet(set, e.Drug.Codings)
}

// dosedNow is what an exposure amounts to a day: of a draft the most it asks for, else
// what it asks for at the time of the call. One administration is at least a dose.
func (s *Session) dosedNow(e *chart.Exposure, d *chart.Dosing, read chart.Reading) chart.Sum {
	switch {
	case e.Draft:
		return d.Largest(read)
	case e.Type == "MedicationAdministration":
		sum := d.Largest(read)
		sum.High, sum.Reasons = nil, fact.Merge(sum.Reasons, []fact.Reason{unreadDose})
		return sum
	default:
		return d.At(s.chart.now(), read)
	}
}

// counting returns the exposures that may count in a total: of the set, or perhaps so,
// not surely over, and neither replaced by a draft nor carrying out another that counts.
func (s *Session) counting(set *valueSet, drafts bool) []part {
	replaced := map[string]bool{} // by a draft: named by it, or changed in it
	if drafts {
		for _, o := range s.chart.of.Orders() {
			replaced[o.Ref()] = true
			for _, ref := range o.Predecessors {
				replaced[ref] = true
			}
		}
	}
	changed := map[string]bool{} // drafts that another draft changes
	for _, o := range s.chart.of.Orders() {
		for _, ref := range o.Predecessors {
			changed[ref] = changed[ref] || ref != o.Ref()
		}
	}
	request := func(e *chart.Exposure) bool { return e.Type == "MedicationRequest" }
	var list []part
	continued := map[string]bool{} // orders that another order carries on
	for _, e := range s.chart.exposures() {
		if e.Draft && (!drafts || changed[e.Ref()]) || !e.Draft && replaced[e.Ref()] ||
			!related(set, e) && e.Drug.Identified() ||
			!request(e) && slices.ContainsFunc(e.BasedOn, func(ref string) bool { return replaced[ref] }) {
			continue
		}
		p := part{Exposure: e}
		if p.state, p.why = e.Now(customaryGrace); p.state == fact.False {
			continue
		}
		list = append(list, p)
		for _, ref := range e.BasedOn {
			continued[ref] = continued[ref] || request(e) && ref != e.Ref()
		}
	}
	// What carries out an order is that order, and shows that it is taken.
	orders := map[string]int{}
	for i := range list {
		if e := list[i].Exposure; request(e) && !continued[e.Ref()] {
			orders[e.Ref()] = i
		}
	}
	out := map[int]bool{}
	for i := range list {
		p := &list[i]
		if request(p.Exposure) {
			out[i] = continued[p.Ref()]
			continue
		}
		for _, ref := range p.BasedOn {
			if at, ok := orders[ref]; ok {
				if out[i] = true; p.state == fact.True {
					list[at].state, list[at].why = fact.True, nil
				}
			}
			out[i] = out[i] || continued[ref]
		}
	}
	kept := list[:0]
	for i, p := range list {
		if !out[i] {
			kept = append(kept, p)
		}
	}
	return kept
}

// How the last of several exposures relates to those before it.
const (
	another = iota
	perhapsSame
	sameSupply
)

// relation compares the last exposure with the others. The same product in the same
// dose, told by another kind of resource or dispensed again, is the same. Otherwise
// two orders are two, and what is told beside an order of the same drug may be it.
func relation(list []part) int {
	last := list[len(list)-1]
	kind := another
	for _, p := range list[:len(list)-1] {
		if !shareCode(p.Drug.Ingredients, last.Drug.Ingredients) {
			continue
		}
		product := shareCode(p.Drug.Codings, last.Drug.Codings)
		dose := p.sum.High != nil && last.sum.High != nil && p.sum.High.Cmp(last.sum.High) == 0 &&
			p.sum.Low.Cmp(last.sum.Low) == 0
		orders := p.Type == "MedicationRequest" && last.Type == "MedicationRequest"
		switch {
		case product && dose && !orders:
			return sameSupply
		case !orders, product && dose:
			kind = perhapsSame
		}
	}
	return kind
}

// shareCode reports whether two lists have a coding in common.
func shareCode(a, b []chart.Coding) bool {
	return slices.ContainsFunc(a, func(x chart.Coding) bool {
		return slices.ContainsFunc(b, func(y chart.Coding) bool { return x.System == y.System && x.Code == y.Code })
	})
}

// daysSupply answers how long the order lasts.
func daysSupply(s *Session, c *Call) (*ast.Term, error) {
	o := s.subject
	if o == nil {
		return nil, errNoOrder
	}
	supply, d := s.chart.of.Supply(o.Resource), s.chart.dosing(o.Resource)
	if err := s.useCost(d.Cost()); err != nil {
		return nil, err
	}
	sum := s.supplied(o, supply, d)
	if c.flag("refills") && sum.Low != nil {
		one := exactly(apd.New(1, 0))
		switch {
		case supply.Refills.Known():
			sum.Range = sum.Times(one.Plus(supply.Refills))
		case supply.Unread:
			sum.High, sum.Reasons = nil, fact.Merge(sum.Reasons, []fact.Reason{{Code: fact.Implausible,
				What: "supply"}})
		}
	}
	v := s.doseValue("days of supply", "d", 1, sum, dosed(o.Evidence(), d))
	if v.Method = ""; v.State == fact.Known {
		v.Method = "supply " + string(sum.Basis)
	}
	return s.newValue(v)
}

// How a supply was found.
const (
	supplyStated   chart.Basis = "as stated"
	supplyQuantity chart.Basis = "by quantity and daily dose"
	supplyCourse   chart.Basis = "by the length of the course"
)

func (s *Session) supplied(o *chart.Order, supply chart.Supply, d *chart.Dosing) chart.Sum {
	nothing := chart.Sum{Range: chart.Range{Low: new(apd.Decimal)}, Reasons: []fact.Reason{{Code: fact.NoData,
		What: "supply"}}}
	if supply.Days.Known() {
		return chart.Sum{Range: supply.Days, Basis: supplyStated}
	}
	if supply.Quantity.Known() {
		x := &doser{unit: supply.Quantity.Unit.Code, drug: &o.Drug, alone: true, certain: true}
		day := d.Largest(func(in *chart.Instruction) (chart.Range, fact.Reason) { return s.byQuantity(x, in) })
		switch {
		case len(day.Reasons) > 0:
			nothing.Reasons = day.Reasons
		case steps(d) > 1:
			nothing.Reasons = []fact.Reason{unreadDose} // the largest step is not how fast all of it is used
		default:
			out := chart.Sum{Range: supply.Quantity.Over(day.Range), Basis: supplyQuantity}
			if out.High == nil {
				out.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: "dosage"}}
			}
			return out
		}
	}
	course := chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}
	for i := range d.Instructions {
		in := &d.Instructions[i]
		length := in.Days
		if !length.Known() && in.Count.Known() && in.Times.Known() && !in.AsNeeded {
			length = in.Count.Over(in.Times)
		}
		if !length.Known() {
			return nothing
		}
		if steps(d) > 1 {
			course = course.Plus(length)
		} else {
			course = course.Upper(length)
		}
	}
	if len(d.Instructions) == 0 {
		return nothing
	}
	return chart.Sum{Range: course, Basis: supplyCourse}
}

func steps(d *chart.Dosing) int {
	var numbers []int
	for i := range d.Instructions {
		if n := d.Instructions[i].Sequence; !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	return len(numbers)
}

// byQuantity is how much an instruction uses up in a day, in the unit of what is handed
// out; by the strength of the product where doses are in another one.
func (s *Session) byQuantity(x *doser, in *chart.Instruction) (chart.Range, fact.Reason) {
	for _, a := range in.Doses {
		if r, ok := convertRange(a.Range, a.Unit.Code, x.unit); ok && a.Unit.Per == "" && in.Times.Known() {
			return in.PerDay(r), fact.Reason{}
		}
	}
	if x.unit == units.One && len(x.drug.Ingredients) == 1 && in.Times.Known() {
		all, agree := s.chart.of.Strengths(x.drug)
		if agree && len(all) == 1 && all[0].PerUnit == "" {
			for _, a := range in.Doses {
				if r, ok := convertRange(a.Range, a.Unit.Code, all[0].Unit); ok && a.Unit.Per == "" {
					return in.PerDay(r.Over(exactly(&all[0].Amount))), fact.Reason{}
				}
			}
		}
	}
	return chart.Range{}, unreadDose
}
