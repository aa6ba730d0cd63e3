package units

import (
	"strconv"
	"strings"
)

// dimension groups units that convert to each other for anything.
type dimension uint8

const (
	massConcentration dimension = iota + 1 // base g/L
	substance                              // base mol/L
	equivalents                            // base eq/L
	filtration                             // base mL/min per 1.73 m2
	flow                                   // base mL/min
	mass                                   // base g
	length                                 // base cm
	temperature                            // base degree Celsius
	duration                               // base s
	count                                  // base 10*9/L
	frequency                              // base /min
	pressure                               // base kPa
	number                                 // base 1
	glycation                              // base mmol/mol
)

// unit is a unit of a dimension: so many (factor) of the base unit, or so many
// over a number; less is what zero of the unit is above the zero of the base.
type unit struct {
	dimension dimension
	factor    string
	over      string // "" is 1
	less      string // "" is 0
}

// Renal is the UCUM code of the glomerular filtration rate per body surface.
const Renal = "mL/min/{1.73_m2}"

// known are the units of the analytes that rules ask for, by their canonical code.
var known = map[string]unit{
	"g/L": {massConcentration, "1", "", ""}, "g/dL": {massConcentration, "10", "", ""},
	"mg/mL": {massConcentration, "1", "", ""},
	"mg/dL": {massConcentration, "0.01", "", ""}, "mg/L": {massConcentration, "0.001", "", ""},
	"ug/mL": {massConcentration, "0.001", "", ""}, "ug/dL": {massConcentration, "0.00001", "", ""},
	"ug/L": {massConcentration, "0.000001", "", ""}, "ng/mL": {massConcentration, "0.000001", "", ""},
	"ng/dL": {massConcentration, "0.00000001", "", ""},
	"ng/L":  {massConcentration, "0.000000001", "", ""}, "pg/mL": {massConcentration, "0.000000001", "", ""},

	"mol/L": {substance, "1", "", ""}, "mmol/L": {substance, "0.001", "", ""},
	"umol/L": {substance, "0.000001", "", ""}, "nmol/L": {substance, "0.000000001", "", ""},
	"pmol/L": {substance, "0.000000000001", "", ""},

	"eq/L": {equivalents, "1", "", ""}, "meq/L": {equivalents, "0.001", "", ""},

	Renal: {filtration, "1", "", ""}, "mL/s/{1.73_m2}": {filtration, "60", "", ""},
	"mL/min": {flow, "1", "", ""}, "mL/s": {flow, "60", "", ""},

	"kg": {mass, "1000", "", ""}, "g": {mass, "1", "", ""}, "mg": {mass, "0.001", "", ""},
	"ug": {mass, "0.000001", "", ""}, "ng": {mass, "0.000000001", "", ""},
	"[lb_av]": {mass, "453.59237", "", ""}, "[oz_av]": {mass, "28.349523125", "", ""},

	"m": {length, "100", "", ""}, "cm": {length, "1", "", ""}, "mm": {length, "0.1", "", ""},
	"[in_i]": {length, "2.54", "", ""}, "[ft_i]": {length, "30.48", "", ""},

	"Cel": {temperature, "1", "", ""}, "K": {temperature, "1", "", "273.15"},
	"[degF]": {temperature, "5", "9", "32"},

	"s": {duration, "1", "", ""}, "ms": {duration, "0.001", "", ""},

	"10*9/L": {count, "1", "", ""}, "10*3/uL": {count, "1", "", ""}, "/uL": {count, "0.001", "", ""},
	"10*12/L": {count, "1000", "", ""}, "10*6/uL": {count, "1000", "", ""},

	"/min": {frequency, "1", "", ""}, "/s": {frequency, "60", "", ""},

	"kPa": {pressure, "1", "", ""}, "mm[Hg]": {pressure, "0.133322", "", ""}, // UCUM: m[Hg] is 133.322 kPa

	"1": {number, "1", "", ""}, "%": {number, "0.01", "", ""}, "{INR}": {number, "1", "", ""},
	"{ratio}": {number, "1", "", ""}, "{score}": {number, "1", "", ""},

	"mmol/mol": {glycation, "1", "", ""},
}

// others are units that values can be had in and that convert only to themselves.
var others = map[string]bool{"U/L": true, "[IU]/L": true, "m[IU]/L": true, "[IU]/mL": true, "m[IU]/mL": true,
	"u[IU]/mL": true, "pg": true, "umol/mol": true, "mg/g": true, "mg/mmol": true, "mg/(24.h)": true, "fL": true,
	"mL": true, "mosm/kg": true, "mm/h": true, "kg/m2": true, "m2": true, "mg/kg": true, "ug/kg": true,
	"mg/d": true, "mg/kg/d": true, "mg/m2": true, "a": true, "mo": true, "wk": true, "d": true, "h": true}

// Known returns the UCUM code of a unit that values can be had in; ok is false if
// there is no such unit.
func Known(text string) (code string, ok bool) {
	code = canonicalCode(text)
	if _, ok := known[code]; ok || others[code] {
		return code, true
	}
	return spelled(text)
}

// canonicalCode folds equivalent and customary spellings of a UCUM code. UCUM
// is case sensitive, so only spellings seen in real charts are folded; other
// codes stay as they are and convert to themselves only.
func canonicalCode(code string) string {
	if _, ok := known[code]; ok {
		return code
	}
	switch code {
	case "mg/dl", "g/dl", "g/l", "mg/l", "umol/l", "mmol/l", "nmol/l", "meq/l", "mEq/L", "ml/min", "ng/ml", "ug/ml",
		"ug/l", "ng/l", "pg/ml", "10^9/L", "10^3/uL", "10*3/ul", "10^12/L", "mcg/dL", "mcg/L", "mcg/mL", "mcg",
		"{beats}/min", "{Beats}/min", "{breaths}/min", "{Breaths}/min", "{beat}/min", "[INR]", "lb", "[lb_us]",
		"[in_us]", "[in_br]", "/mm3", "mmHg", "kPa ", "msec":
		if c, ok := spelled(code); ok {
			return c
		}
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
	"\u00b2", "2", "\u00b3", "3", "\u2079", "*9", "^", "*", "**", "*", "\u00b0", "", "mcg", "ug")

// spellings are the units written for people, without what unspaced drops.
var spellings = map[string]string{}

func init() { // a table written the other way round
	for code, list := range map[string]string{
		"mg/dL": "mg/dl mgs/dl mg/100ml mg%", "g/dL": "g/dl gm/dl", "g/L": "g/l", "mg/L": "mg/l", "mg/mL": "mg/ml",
		"ug/mL": "ug/ml", "ug/dL": "ug/dl", "ug/L": "ug/l", "ng/mL": "ng/ml", "ng/dL": "ng/dl", "ng/L": "ng/l",
		"pg/mL":  "pg/ml",
		"umol/L": "umol/l mcmol/l micromol/l micromoles/l", "mmol/L": "mmol/l millimol/l", "nmol/L": "nmol/l",
		"pmol/L": "pmol/l", "meq/L": "meq/l",
		Renal: "ml/min/1.73m2 ml/min/1.73.m2 ml/min/1.73sqm ml/min/1.73sq.m ml/min/1.73*m2 ml/min/1.73 " +
			"ml/min/bsa ml/min/1.73m2bsa ml/min/173m2 ml/min/1,73m2 ml/min/1.73m*2 ml/min/1,73m*2 ml/min/(1.73m2) " +
			"ml/min/1.73/m2 ml/min/1.73m",
		"mL/min": "ml/min cc/min", "mL/s": "ml/s",
		"kg": "kg kgs kilogram kilograms", "g": "g gm gram grams", "mg": "mg", "ug": "ug",
		"[lb_av]": "lb lbs [lbav] [lbus] pound pounds", "[oz_av]": "oz ounce ounces",
		"cm": "cm centimeter centimeters", "m": "m", "mm": "mm", "[in_i]": "in inch inches [ini] [inus] [inbr]",
		"[ft_i]": "ft feet", "Cel": "cel c degc degreec celsius degreescelsius", "[degF]": "[degf] f degf fahrenheit",
		"s": "s sec seconds", "ms": "ms msec milliseconds",
		"10*9/L":  "10*9/l 10e9/l x10*9/l x10e9/l",
		"10*3/uL": "10*3/ul 10e3/ul x10*3/ul x10e3/ul k/ul thou/ul thousand/ul k/cumm k/mcl 10*3/mcl 10*3/mm3",
		"10*12/L": "10*12/l x10*12/l 10e12/l", "10*6/uL": "10*6/ul x10*6/ul m/ul mill/ul 10e6/ul",
		"/uL":  "/ul cells/ul /mm3 cells/mm3 /cumm",
		"/min": "/min bpm beats/min beat/min breaths/min breath/min perminute beats/minute breaths/minute",
		"kPa":  "kpa", "mm[Hg]": "mmhg mm[hg] torr", "%": "% percent", "{INR}": "inr [inr]", "{score}": "score",
		"{ratio}": "ratio", "1": "1", "mmol/mol": "mmol/mol mmol/molhb", "kg/m2": "kg/m2 kg/m*2 kg/sqm", "m2": "m2 m*2",
	} {
		for _, s := range strings.Fields(list) {
			spellings[s] = code
		}
	}
}

// spelled recognises a unit written for people.
func spelled(text string) (string, bool) {
	if text == "" || len(text) > 40 {
		return "", false
	}
	if _, ok := known[text]; ok {
		return text, true
	}
	code, ok := spellings[unspaced.Replace(strings.ToLower(text))]
	return code, ok
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
