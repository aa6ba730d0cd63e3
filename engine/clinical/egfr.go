package clinical

import (
	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

var (
	egfrCodes       = loincs(units.EGFR)
	creatinineCodes = loincs(units.Creatinine)
)

// loincs returns the codes of an analyte.
func loincs(a units.Analyte) []chart.Coding {
	codes := units.Lookup(a).Codes
	list := make([]chart.Coding, len(codes))
	for i, c := range codes {
		list[i] = chart.Coding{System: chart.LOINC, Code: c.Code}
	}
	return list
}

// formulaOf names the formula behind reported results where it is known.
func formulaOf(list []reading) string {
	for _, r := range list {
		for _, c := range r.Codings {
			if c.System != chart.LOINC {
				continue
			}
			if m := units.MethodOf(c.Code); m != "" {
				return "reported, " + m
			}
		}
	}
	return "reported"
}

// egfr returns the newest of reported eGFR and of creatinine, the latter by CKD-EPI
// 2021; of the same specimen the reported one. Both hold for adults only.
func egfr(s *Session, c *Call) (*ast.Term, error) {
	maxAge := c.duration("max_age")
	v := s.lib.egfrs[maxAge]
	if v == nil {
		v = s.egfr(maxAge)
		s.lib.egfrs[maxAge] = v
	}
	copied := *v // each call has a place of its own
	return s.newValue(&copied)
}

func (s *Session) egfr(maxAge dates.Duration) *fact.Value {
	age := s.age()
	adult := fact.Compare(age, fact.GreaterEqual, apd.New(18, 0))
	if v := notOfAge("eGFR", units.Renal, "adult equation", age, adult); v != nil {
		return v
	}
	reported := &kind{name: "eGFR", codes: egfrCodes, analyte: units.EGFR, unit: units.Renal}
	reported.value = func(top []reading) *fact.Value {
		v := s.span("eGFR", units.Renal, top)
		v.Method = formulaOf(top)
		return v
	}
	creatinine := &kind{name: "creatinine", codes: creatinineCodes, analyte: units.Creatinine, unit: "mg/dL"}
	creatinine.value = func(top []reading) *fact.Value { return s.ckdEPI(s.span("creatinine", "mg/dL", top), age) }
	return s.newestOf("eGFR", units.Renal, maxAge, reported, creatinine)
}

// ckdEPI computes the interval of eGFR over everything creatinine, age and sex
// may be. The formula falls with creatinine and with age, so the ends of the
// interval are those of its arguments.
func (s *Session) ckdEPI(scr, age *fact.Value) *fact.Value {
	v := &fact.Value{Name: "eGFR", Unit: units.Renal, When: scr.When, Method: "CKD-EPI 2021 from creatinine",
		Evidence: append(append([]fact.Evidence{}, scr.Evidence...), age.Evidence...), More: scr.More}
	if age.State != fact.Known {
		v.Reasons = age.Reasons
		return v
	}
	female, male, evidence := s.sexes()
	v.Evidence = append(v.Evidence, evidence...)
	v.State = fact.Known
	if scr.High != nil {
		v.Low, v.LowOpen = lowest(scr.High, age.High, female, male), scr.HighOpen
	}
	if scr.Low != nil && !scr.Low.IsZero() {
		v.High, v.HighOpen = highest(scr.Low, age.Low, female, male), scr.LowOpen
	}
	if v.Low == nil && v.High == nil {
		v.State, v.Reasons = fact.PresenceUnknown,
			[]fact.Reason{{Code: fact.PrecisionInsufficient, What: "creatinine"}}
	}
	return v
}

func lowest(scr, age *apd.Decimal, female, male bool) *apd.Decimal {
	return pick(scr, age, female, male, -1)
}

func highest(scr, age *apd.Decimal, female, male bool) *apd.Decimal {
	return pick(scr, age, female, male, 1)
}

func pick(scr, age *apd.Decimal, female, male bool, direction int) *apd.Decimal {
	switch {
	case female && !male:
		return CKDEPI2021(scr, age, true)
	case male && !female:
		return CKDEPI2021(scr, age, false)
	}
	f, m := CKDEPI2021(scr, age, true), CKDEPI2021(scr, age, false)
	if f.Cmp(m)*direction > 0 {
		return f
	}
	return m
}

// decimals is the arithmetic of formulas: more digits than any result shows,
// half up, the same on every machine.
var decimals = apd.Context{Precision: 24, MaxExponent: 1000, MinExponent: -1000, Rounding: apd.RoundHalfUp,
	Traps: apd.DefaultTraps}

// CKDEPI2021 is the CKD-EPI 2021 creatinine equation without race (Inker and
// others, N Engl J Med 2021;385:1737): serum creatinine in mg/dL, age in
// years, result in mL/min/1.73 m2, rounded half up to one decimal.
func CKDEPI2021(scr, age *apd.Decimal, female bool) *apd.Decimal {
	kappa, alpha := "0.9", "-0.302"
	if female {
		kappa, alpha = "0.7", "-0.241"
	}
	ratio := new(apd.Decimal)
	must(decimals.Quo(ratio, scr, dec(kappa)))
	one := apd.New(1, 0)
	exponent := dec(alpha)
	if ratio.Cmp(one) > 0 {
		exponent = dec("-1.200")
	}
	result, byAge := dec("142"), new(apd.Decimal)
	if ratio.Cmp(one) != 0 {
		power := new(apd.Decimal)
		must(decimals.Pow(power, ratio, exponent))
		must(decimals.Mul(result, result, power))
	}
	must(decimals.Pow(byAge, dec("0.9938"), age))
	must(decimals.Mul(result, result, byAge))
	if female {
		must(decimals.Mul(result, result, dec("1.012")))
	}
	must(decimals.Quantize(result, result, -1))
	return result
}

func dec(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	must(0, err)
	return d
}

// must turns an arithmetic trap into a panic: with arguments of a living
// patient none can spring.
func must(_ apd.Condition, err error) {
	if err != nil {
		panic("clinical: decimal arithmetic: " + err.Error())
	}
}
