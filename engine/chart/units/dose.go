package units

import (
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// DoseUnit is what an amount of a drug is counted in. The zero value is none.
type DoseUnit struct {
	Code string // UCUM: mg, g, ug, ng, kg, [IU], meq, mmol, mL, L, {actuat}; One for a tablet and the like
	Per  string // kg or m2 of the body, or ""
	Over string // h, of a rate; or ""
}

// One is the code of a dose unit: a tablet, a capsule, a patch, a suppository.
const One = "1"

// doseUnits spells the units in which drugs are dosed. Words for packages (vial,
// syringe, ampule, packet, drop) are not among them: how much is in one nobody
// says. The international and other biological units are those of one product
// each, so they are never converted into another and share a code.
var doseUnits = map[string]string{
	"mg": "mg", "milligram": "mg", "milligrams": "mg", "mgs": "mg",
	"g": "g", "gm": "g", "gram": "g", "grams": "g",
	"ug": "ug", "mcg": "ug", "microgram": "ug", "micrograms": "ug",
	"ng": "ng", "nanogram": "ng", "nanograms": "ng", "kg": "kg",
	"[iu]": "[IU]", "iu": "[IU]", "unt": "[IU]", "{unt}": "[IU]", "[usp'u]": "[IU]", "[arb'u]": "[IU]",
	"{unit}": "[IU]", "unit": "[IU]", "units": "[IU]", "international unit": "[IU]", "international units": "[IU]",
	"meq": "meq", "mmol": "mmol",
	"ml": "mL", "milliliter": "mL", "milliliters": "mL", "millilitre": "mL", "millilitres": "mL", "cc": "mL", "l": "L",
	"actuat": "{actuat}", "{actuat}": "{actuat}", "puff": "{actuat}", "puff(s)": "{actuat}", "puffs": "{actuat}",
	"{puff}":  "{actuat}",
	"{puffs}": "{actuat}", "actuation": "{actuat}", "actuations": "{actuat}", "inhalation": "{actuat}",
	"inhalations": "{actuat}", "spray": "{actuat}", "sprays": "{actuat}", "{spray}": "{actuat}",
	"1": One, "tablet": One, "tablets": One, "tab": One, "tabs": One, "tbl": One, "{tbl}": One, "{tab}": One,
	"{tablet}": One, "{tablets}": One, "tablet(s)": One, "tab(s)": One, "cap(s)": One, "capsule": One,
	"capsules": One, "cap": One, "caps": One,
	"{cap}": One, "{capsule}": One, "{capsules}": One, "capsule(s)": One, "caplet": One, "caplets": One,
	"patch": One, "patches": One, "{patch}": One, "suppository": One, "suppositories": One, "{suppository}": One,
	"lozenge": One, "lozenges": One, "film": One, "films": One, "{film}": One, "each": One, "{each}": One, "ea": One,
}

// doseFactors are the sizes of units of one kind.
var doseFactors = map[string]struct{ kind, factor string }{
	"kg": {"mass", "1000"}, "g": {"mass", "1"}, "mg": {"mass", "0.001"}, "ug": {"mass", "0.000001"},
	"ng": {"mass", "0.000000001"}, "L": {"volume", "1000"}, "mL": {"volume", "1"},
}

// ParseDoseUnit reads a unit in which a drug is dosed, as UCUM or in customary
// words: "mg", "MG", "mcg/kg", "mL/h", "{tbl}", "tablet(s)".
func ParseDoseUnit(text string) (u DoseUnit, ok bool) {
	if len(text) > 40 {
		return DoseUnit{}, false
	}
	text = strings.NewReplacer("\u00b5", "u", "\u03bc", "u", "\u00b2",
		"2").Replace(strings.ToLower(strings.TrimSpace(text)))
	parts := strings.Split(text, "/")
	if u.Code, ok = doseUnits[strings.TrimSpace(parts[0])]; !ok {
		return DoseUnit{}, false
	}
	for _, p := range parts[1:] {
		switch p = strings.TrimSpace(p); {
		case (p == "kg" || p == "m2") && u.Per == "":
			u.Per = p
		case (p == "h" || p == "hr" || p == "hour" || p == "min" || p == "minute") && u.Over == "":
			if u.Over = "h"; p == "min" || p == "minute" {
				u.Over = "min"
			}
		default:
			return DoseUnit{}, false
		}
	}
	return u, true
}

// Dose returns the unit of a quantity that says how much of a drug is given. Code
// and text must not contradict each other; a quantity without both has none.
func (q Quantity) Dose() (DoseUnit, bool) {
	text, inWords := ParseDoseUnit(q.Unit)
	code, coded := DoseUnit{}, false
	if q.Code != "" && (q.System == "" || q.System == UCUM) {
		if code, coded = ParseDoseUnit(q.Code); !coded && q.System == UCUM {
			return DoseUnit{}, false
		}
	}
	switch {
	case coded && inWords && code != text:
		return DoseUnit{}, false
	case coded:
		return code, true
	default:
		return text, inWords
	}
}

// ConvertDose converts an amount between units of one kind. The error is ErrUnit.
func ConvertDose(n *apd.Decimal, from, to string) (*apd.Decimal, error) {
	if from == to {
		return n, nil
	}
	a, okA := doseFactors[from]
	b, okB := doseFactors[to]
	if !okA || !okB || a.kind != b.kind {
		return nil, ErrUnit
	}
	return scale(n, unit{factor: a.factor}, unit{factor: b.factor}, "1", "1")
}
