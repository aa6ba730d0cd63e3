package clinical

import (
	"github.com/cockroachdb/apd/v3"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// The LOINC codes of reported eGFR and of serum creatinine that the metformin
// pack's source lists (docs/sources.md).
var (
	egfrCodes = loincs("98979-8", "62238-1", "33914-3", "69405-9", "77147-7", "50044-7", "76633-7", "48642-3",
		"48643-1")

	creatinineCodes = loincs("2160-0", "14682-9", "77140-2")
)

func loincs(codes ...string) []chart.Coding {
	list := make([]chart.Coding, len(codes))
	for i, c := range codes {
		list[i] = chart.Coding{System: chart.LOINC, Code: c}
	}
	return list
}

// formulaOf names the formula behind a LOINC code of eGFR where it is known.
func formulaOf(r []fact.Evidence, codings []chart.Coding) string {
	for _, c := range codings {
		if c.System != chart.LOINC {
			continue
		}
		switch c.Code {
		case "98979-8":
			return "reported, CKD-EPI 2021"
		case "62238-1":
			return "reported, CKD-EPI 2009"
		case "33914-3":
			return "reported, MDRD"
		case "48642-3", "48643-1":
			return "reported, formula with a race term"
		}
	}
	return "reported"
}

// egfr returns the newest valid reported eGFR, else the one computed by CKD-EPI
// 2021 from the newest creatinine. Both hold for adults only.
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
	if age.State == fact.Known && fact.Compare(age, fact.Less, apd.New(18, 0)).State != fact.False {
		return &fact.Value{Name: "eGFR", Unit: units.Renal, Evidence: age.Evidence,
			Reasons: []fact.Reason{{Code: fact.NotApplicable, What: "adult equation"}}}
	}
	reported := plausible(s.newest("eGFR", egfrCodes, units.Renal, maxAge), "0", "300")
	if reported.State == fact.Known {
		reported.Method = s.formula(reported)
		return reported
	}
	if !onlyGaps(reported) {
		return reported
	}
	scr := plausible(s.newest("creatinine", creatinineCodes, "mg/dL", maxAge), "0.05", "100")
	if scr.State != fact.Known {
		// Neither is usable: a creatinine that exists but cannot be used says
		// more than an eGFR that does not.
		if !onlyGaps(scr) {
			return &fact.Value{Name: "eGFR", Unit: units.Renal, Reasons: scr.Reasons,
				Evidence: append(reported.Evidence, scr.Evidence...), More: reported.More + scr.More}
		}
		if reported.State == fact.Absent && scr.State != fact.Absent {
			reported.State, reported.Reasons = fact.PresenceUnknown, []fact.Reason{{Code: fact.Stale, What: "eGFR"}}
		}
		reported.Evidence, reported.More = append(reported.Evidence, scr.Evidence...), reported.More+scr.More
		return reported
	}
	return s.ckdEPI(scr, age)
}

// plausible makes a value unknown that no living adult can have: a slip of the
// unit or the point would otherwise read as sound kidneys. The limits are wide
// on purpose, beyond everything reported.
func plausible(v *fact.Value, low, high string) *fact.Value {
	if v.State != fact.Known {
		return v
	}
	least, most := dec(low), dec(high)
	if v.High != nil && (v.High.Cmp(least) < 0 || v.High.Cmp(most) > 0) || v.Low != nil && v.Low.Cmp(most) > 0 {
		v.State, v.Reasons = fact.PresenceUnknown, []fact.Reason{{Code: fact.Implausible, What: v.Name}}
		v.Low, v.High, v.LowOpen, v.HighOpen = nil, nil, false, false
	}
	return v
}

// formula names the formula of the results a value rests on.
func (s *Session) formula(v *fact.Value) string {
	for _, r := range s.chart.observations(egfrCodes) {
		if len(v.Evidence) > 0 && r.Ref() == v.Evidence[0].Ref {
			return formulaOf(v.Evidence, r.Codings)
		}
	}
	return "reported"
}

func onlyGaps(v *fact.Value) bool {
	if v.State == fact.Absent {
		return true
	}
	for _, r := range v.Reasons {
		if r.Code != fact.Stale && r.Code != fact.NoData {
			return false
		}
	}
	return len(v.Reasons) > 0
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
