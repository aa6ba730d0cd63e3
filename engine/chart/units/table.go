package units

import (
	"strconv"
	"strings"
)

// dimension groups units that differ by a factor only.
type dimension uint8

const (
	massConcentration dimension = iota + 1 // base g/L
	substance                              // base mol/L
	equivalents                            // base eq/L
	filtration                             // base mL/min per 1.73 m2
	flow                                   // base mL/min
	mass                                   // base g
	length                                 // base cm
)

type unit struct {
	dimension dimension
	factor    string // of the base unit
}

// Renal is the UCUM code of the glomerular filtration rate per body surface.
const Renal = "mL/min/{1.73_m2}"

// unitOf knows the units of the analytes that rules ask for.
func unitOf(code string) (unit, bool) {
	switch code {
	case "g/L":
		return unit{massConcentration, "1"}, true
	case "g/dL":
		return unit{massConcentration, "10"}, true
	case "mg/dL":
		return unit{massConcentration, "0.01"}, true
	case "mg/L", "ug/mL":
		return unit{massConcentration, "0.001"}, true
	case "ug/L", "ng/mL":
		return unit{massConcentration, "0.000001"}, true
	case "mol/L":
		return unit{substance, "1"}, true
	case "mmol/L":
		return unit{substance, "0.001"}, true
	case "umol/L":
		return unit{substance, "0.000001"}, true
	case "nmol/L":
		return unit{substance, "0.000000001"}, true
	case "eq/L":
		return unit{equivalents, "1"}, true
	case "meq/L":
		return unit{equivalents, "0.001"}, true
	case Renal:
		return unit{filtration, "1"}, true
	case "mL/min":
		return unit{flow, "1"}, true
	case "kg":
		return unit{mass, "1000"}, true
	case "g":
		return unit{mass, "1"}, true
	case "mg":
		return unit{mass, "0.001"}, true
	case "[lb_av]":
		return unit{mass, "453.59237"}, true
	case "m":
		return unit{length, "100"}, true
	case "cm":
		return unit{length, "1"}, true
	case "[in_i]":
		return unit{length, "2.54"}, true
	default:
		return unit{}, false
	}
}

// Known returns the UCUM code of a unit that values can be had in; ok is false if
// there is no such unit. Besides the units that convert to each other these are
// customary ones that convert only to themselves, yet.
func Known(text string) (code string, ok bool) {
	code = canonicalCode(text)
	if _, ok := unitOf(code); ok {
		return code, true
	}
	switch code {
	case "1", "%", "{INR}", "{ratio}", "{score}", "10*3/uL", "10*6/uL", "10*9/L", "10*12/L", "/uL", "U/L", "[IU]/L",
		"m[IU]/L", "[IU]/mL", "m[IU]/mL", "u[IU]/mL", "ug/dL", "ng/dL", "ng/L", "pg/mL", "pg", "pmol/L", "umol/mol",
		"mmol/mol", "mg/g", "mg/mmol", "mg/(24.h)", "fL", "mL",
		"mosm/kg", "mm[Hg]", "mm/h", "/min", "ms", "s", "Cel", "kg/m2", "m2":
		return code, true
	}
	return spelled(text)
}

// canonicalCode folds equivalent and customary spellings of a UCUM code. UCUM
// is case sensitive, so only spellings seen in real charts are folded; other
// codes stay as they are and convert to themselves only.
func canonicalCode(code string) string {
	switch code {
	case Renal:
		return Renal
	case "mg/dl":
		return "mg/dL"
	case "g/dl":
		return "g/dL"
	case "mg/l":
		return "mg/L"
	case "umol/l":
		return "umol/L"
	case "mmol/l":
		return "mmol/L"
	case "meq/l", "mEq/L":
		return "meq/L"
	case "ml/min":
		return "mL/min"
	}
	if strings.HasPrefix(code, "mL/min/") || strings.HasPrefix(code, "ml/min/") {
		if c, ok := spelled(code); ok {
			return c
		}
	}
	return code
}

// unspaced drops and folds the characters in which spellings differ.
var unspaced = strings.NewReplacer(" ", "", "\u00a0", "", "_", "", "{", "", "}", "", "\u00b5", "u", "\u03bc", "u",
	"\u00b2", "2", "^2", "2", "**2", "2")

// spelled recognises a unit written for people.
func spelled(text string) (string, bool) {
	if text == "" || len(text) > 40 {
		return "", false
	}
	switch unspaced.Replace(strings.ToLower(text)) {
	case "mg/dl", "mgs/dl", "mg/100ml", "mg%":
		return "mg/dL", true
	case "g/dl", "gm/dl":
		return "g/dL", true
	case "g/l":
		return "g/L", true
	case "mg/l":
		return "mg/L", true
	case "ug/ml", "mcg/ml":
		return "ug/mL", true
	case "ng/ml":
		return "ng/mL", true
	case "umol/l", "mcmol/l", "micromol/l", "micromoles/l":
		return "umol/L", true
	case "mmol/l", "millimol/l":
		return "mmol/L", true
	case "nmol/l":
		return "nmol/L", true
	case "meq/l":
		return "meq/L", true
	case "ml/min":
		return "mL/min", true
	case "ml/min/1.73m2", "ml/min/1.73.m2", "ml/min/1.73sqm", "ml/min/1.73sq.m", "ml/min/1.73*m2", "ml/min/1.73",
		"ml/min/bsa", "ml/min/1.73m2bsa", "ml/min/173m2", "ml/min/1,73m2":
		return Renal, true
	case "kg", "kgs", "kilogram", "kilograms":
		return "kg", true
	case "g", "gm", "gram", "grams":
		return "g", true
	case "lb", "lbs", "[lbav]", "pound", "pounds":
		return "[lb_av]", true
	case "cm", "centimeter", "centimeters":
		return "cm", true
	case "m":
		return "m", true
	case "in", "inch", "inches", "[ini]":
		return "[in_i]", true
	default:
		return "", false
	}
}

// constant returns the numbers to multiply and divide by between two base
// units; both are empty where no conversion is listed.
func (a Analyte) constant(from, to dimension) (num, den string) {
	e := Lookup(a)
	switch {
	case e == nil:
	case e.MolPerG != "" && from == massConcentration && to == substance:
		return e.MolPerG, "1"
	case e.MolPerG != "" && from == substance && to == massConcentration:
		return "1", e.MolPerG
	case e.Valence > 0 && from == equivalents && to == substance:
		return "1", strconv.Itoa(e.Valence)
	case e.Valence > 0 && from == substance && to == equivalents:
		return strconv.Itoa(e.Valence), "1"
	case e.PerArea && from == flow && to == filtration:
		return "1", "1"
	}
	return "", ""
}
