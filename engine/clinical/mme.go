package clinical

import (
	_ "embed"
	"slices"
	"sync"

	"github.com/cockroachdb/apd/v3"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

//go:embed mme.json
var mmeFile []byte

// opioidTable is one published table of factors from opioids to oral morphine.
type opioidTable struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Source   string         `json:"source"`
	Factors  []opioidFactor `json:"factors"`
	Excluded []opioidFactor `json:"excluded"` // opioids to which the table must not be applied
}

// opioidFactor is the factor of one RxNorm ingredient: for each mg taken by mouth, or for each
// µg an hour of a patch that is worn for some days.
type opioidFactor struct {
	Code     string `json:"code"`
	Name     string `json:"name"`
	Oral     string `json:"oral,omitempty"`
	PerHour  string `json:"per_hour,omitempty"`
	WearDays int64  `json:"wear_days,omitzero"`
}

// opioidTables are the tables of this library, read once. A slip in the file is found
// by the first test.
var opioidTables = sync.OnceValue(func() map[string]*opioidTable {
	var file struct {
		Version string         `json:"version"`
		Tables  []*opioidTable `json:"tables"`
	}
	if err := jsonv2.Unmarshal(mmeFile, &file, jsonv2.RejectUnknownMembers(true)); err != nil {
		panic("clinical: reading mme.json: " + err.Error())
	}
	tables := map[string]*opioidTable{}
	for _, t := range file.Tables {
		tables[t.ID] = t
	}
	return tables
})

// mmeQuestions ask for morphine equivalents.
func mmeQuestions() []Function {
	options := []Option{
		{Name: "set", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindMedication}, Required: true,
			Doc: "the opioids; one of them that the table has no factor for is unknown"},
		{Name: "factors", Kind: KindEnum, Words: []string{"cdc-2022"}, Required: true, Param: true,
			Doc: "the table: CDC 2022 (MMWR Recomm Rep 2022;71(RR-3))"},
	}
	const source = "CDC Clinical Practice Guideline for Prescribing Opioids for Pain, MMWR Recomm Rep 2022;71(RR-3)"
	const unread = "as `fhir.daily_dose`, or the table has no factor for an opioid, or none for the way it is given"
	return []Function{
		{
			Name: "fhir.mme",
			Doc: "morphine milligram equivalents of the order a day, by mouth and of patches; from zero to the " +
				"maximum if it is given as needed; buprenorphine counts as zero; rounded half up to two decimals",
			Unknown: unread, Options: options, Result: typeValue, Reads: None(), Attributes: None(), NeedsOrder: true,
			Run: mme, Source: source,
		},
		{
			Name: "fhir.total_mme",
			Doc: "morphine milligram equivalents a day of all opioids that are taken and drafted together, each " +
				"counted as by `fhir.total_daily_dose`",
			Unknown: "as `fhir.total_daily_dose` and `fhir.mme`: a known part gives a lower bound",
			Options: slices.Concat(options, []Option{{Name: "drafts", Kind: KindFlag, Param: true, Default: true,
				Doc: "with the order at hand and the other drafts of the session"}}),
			Result: typeValue, Reads: exposureTypes, Attributes: []string{attributeHealth}, Run: totalMME,
			Source: source,
		},
	}
}

const (
	mmeUnit     = "mg/d"
	mmeDecimals = 2
)

var (
	noFactor      = fact.Reason{Code: fact.NotApplicable, What: "morphine equivalence"}
	otherWay      = fact.Reason{Code: fact.NotApplicable, What: "morphine equivalence by this route"}
	noRouteOrForm = fact.Reason{Code: fact.NoData, What: "route or form of medication"}
)

func mme(s *Session, c *Call) (*ast.Term, error) {
	o := s.subject
	if o == nil {
		return nil, errNoOrder
	}
	table, d := opioidTables()[c.text("factors")], s.chart.dosing(o.Resource)
	if err := s.useCost(d.Cost()); err != nil {
		return nil, err
	}
	x := s.opioid(&o.Drug, o.Routes, c.set("set"), table)
	v := s.doseValue("morphine equivalents", mmeUnit, mmeDecimals, x.sum(d.Largest), dosed(o.Evidence(), d))
	return s.newValue(byTable(v, table))
}

func totalMME(s *Session, c *Call) (*ast.Term, error) {
	table, set := opioidTables()[c.text("factors")], c.set("set")
	sum, evidence, err := s.total(set, c.flag("drafts"), func(e *chart.Exposure) chart.Reading {
		return s.opioid(&e.Drug, e.Routes, set, table).daily
	})
	if err != nil {
		return nil, err
	}
	return s.newValue(byTable(s.doseValue("morphine equivalents", mmeUnit, mmeDecimals, sum, evidence...), table))
}

// byTable names the table that a value rests on: cards have to say which.
func byTable(v *fact.Value, table *opioidTable) *fact.Value {
	if v.State == fact.Known {
		v.Method = table.Title
	}
	return v
}

// opioid turns the doses of one drug into morphine equivalents.
type opioid struct {
	parts  []opioidPart
	reason fact.Reason // why nothing can be said; zero if something can
}

// opioidPart is one opioid of a drug.
type opioidPart struct {
	factor *opioidFactor
	doser  *doser
}

func (s *Session) opioid(d *chart.Drug, routes []chart.Coding, set *valueSet, table *opioidTable) *opioid {
	x := &opioid{}
	if !d.Identified() {
		x.reason = fact.Reason{Code: d.Reason.Code, What: "medication"}
		return x
	}
	for _, in := range d.Ingredients {
		same := func(f opioidFactor) bool { return in.System == chart.RxNorm && f.Code == in.Code }
		if slices.ContainsFunc(table.Excluded, same) {
			continue
		}
		i := slices.IndexFunc(table.Factors, same)
		switch {
		case i < 0 && set.Has(in.System, in.Code):
			x.reason = noFactor
			return x
		case i < 0:
			continue
		}
		f := &table.Factors[i]
		if f.Oral != "" {
			if x.reason = byMouth(d, routes); x.reason != (fact.Reason{}) {
				return x
			}
		}
		x.parts = append(x.parts, opioidPart{f, s.ingredient(d, in, f)})
	}
	return x
}

// ingredient makes the doser of one ingredient.
func (s *Session) ingredient(d *chart.Drug, in chart.Coding, f *opioidFactor) *doser {
	one := &valueSet{ValueSet: &vocab.ValueSet{}, title: f.Name}
	x := &doser{unit: "mg", drug: d, set: one, alone: len(d.Ingredients) == 1, certain: true}
	all, agree := s.chart.of.Strengths(d)
	x.certain = agree
	for _, st := range all {
		if st.Ingredient.System == in.System && st.Ingredient.Code == in.Code {
			x.strengths = append(x.strengths, st)
		}
	}
	return x
}

// byMouth tells whether a drug is one that is swallowed: the factors of the table hold
// for no other way.
func byMouth(d *chart.Drug, routes []chart.Coding) fact.Reason {
	oral, other := vocab.Form(d.Form) == vocab.FormOral, d.Form != "" && vocab.Form(d.Form) != vocab.FormOral
	for _, r := range routes {
		if r.System == chart.SNOMED && r.Code == "26643006" { // oral route
			oral = true
		} else {
			other = true
		}
	}
	switch {
	case other:
		return otherWay
	case !oral:
		return noRouteOrForm
	default:
		return fact.Reason{}
	}
}

// sum is what instructions amount to, without looking at them where nothing counts.
func (x *opioid) sum(of func(chart.Reading) chart.Sum) chart.Sum {
	if x.reason == (fact.Reason{}) && len(x.parts) == 0 {
		return chart.Sum{Range: chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}}
	}
	return of(x.daily)
}

// daily is the morphine equivalents that an instruction asks for in a day.
func (x *opioid) daily(in *chart.Instruction) (chart.Range, fact.Reason) {
	sum := chart.Range{Low: new(apd.Decimal), High: new(apd.Decimal)}
	if x.reason != (fact.Reason{}) {
		return sum, x.reason
	}
	for i := range x.parts {
		p := &x.parts[i]
		read, factor := p.doser.daily, p.factor.Oral
		if p.factor.PerHour != "" {
			read, factor = p.worn, p.factor.PerHour
		}
		day, why := read(in)
		if why != (fact.Reason{}) {
			return sum, why
		}
		sum = sum.Plus(day.Times(exactly(dec(factor))))
	}
	return sum, fact.Reason{}
}

// worn is how much patches release in an hour, in µg: of those that an instruction
// puts on at one time, or, where they are put on before the last ones are used up, of
// all that may be worn together.
func (p *opioidPart) worn(in *chart.Instruction) (chart.Range, fact.Reason) {
	var patches chart.Range
	for _, a := range in.Doses {
		if a.Unit == (units.DoseUnit{Code: units.One}) {
			patches = a.Range
		}
	}
	for _, r := range in.Rates { // µg an hour, as ordered
		if vocab.Form(p.doser.drug.Form) != vocab.FormTransdermal || len(in.Doses) > 0 || r.Unit.Per != "" {
			break
		}
		if hour, ok := convertRange(r.Range, r.Unit.Code, "ug"); ok {
			return needed(in, hour), fact.Reason{}
		}
	}
	switch {
	case !p.doser.certain:
		return patches, chart.Contradictory
	case vocab.Form(p.doser.drug.Form) != vocab.FormTransdermal && p.doser.drug.Form != "":
		return patches, otherWay
	case !patches.Known() || !in.Times.Known():
		return patches, unreadDose
	case len(p.doser.strengths) == 0:
		return patches, noStrength
	}
	s := &p.doser.strengths[0]
	unit, ok := units.ParseDoseUnit(s.Unit)
	hour, converts := convertRange(exactly(&s.Amount), unit.Code, "ug")
	if !ok || !converts || s.PerUnit != "h" {
		return patches, otherWay
	}
	// Worn at once are those of one time, and as many as days of wear bring together.
	together := patches.Times(in.Times).Times(exactly(apd.New(p.factor.WearDays, 0)))
	at := chart.Range{Low: patches.Hull(together).Low, High: patches.Upper(together).High}
	return needed(in, hour.Over(exactly(&s.PerAmount)).Times(at)), fact.Reason{}
}

func needed(in *chart.Instruction, r chart.Range) chart.Range {
	if in.AsNeeded {
		return r.FromZero()
	}
	return r
}
