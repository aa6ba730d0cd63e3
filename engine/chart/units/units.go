// Package units converts measured quantities between UCUM units in decimal
// arithmetic.
//
// It knows the units of the analytes that rules ask for, and no others, on purpose:
// a library that parses all of UCUM would not know what converts between mass, moles
// and equivalents, and that is where the harm is. Scaling within one dimension (mg/dL and mg/L)
// holds for anything; converting between mass, substance and equivalents needs
// the analyte and is done only for the analytes listed here, each with the
// constant that its source states. Whatever is not listed is ErrUnit, never a guess:
// a plain mL/min is not a mL/min per 1.73 m2.
package units

import (
	"errors"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// ErrUnit means that the quantity cannot be converted safely: its unit is
// missing or unknown, of another dimension, or the analyte has no listed
// constant. The value is to be treated as unknown (unit-unconvertible).
var ErrUnit = errors.New("unit cannot be converted")

// ErrNumber means that a literal is not a number a measurement can have: more
// than 30 digits, or an exponent beyond 30. The value is implausible.
var ErrNumber = errors.New("not a plausible number")

// UCUM is the system of the codes used here.
const UCUM = "http://unitsofmeasure.org"

// Quantity is a FHIR Quantity as sent: a number, perhaps with a comparator
// ("<", "<=", ">=", ">"), and a unit as text, as code, or as both.
type Quantity struct {
	Comparator string
	Value      *apd.Decimal // keeps the digits as sent: 1.50 stays 1.50
	Unit       string       // for display; may be empty
	Code       string       // of System
	System     string
}

// UnitCode returns the canonical UCUM code of the quantity. The code counts if
// its system is UCUM; else the unit text, or a code without a system, counts
// if it is one of the customary spellings. Otherwise there is none, and there
// is none either if code and text are known here as units of different size:
// nobody can tell which of them the number is in.
func (q Quantity) UnitCode() (string, bool) {
	switch {
	case q.System == UCUM && q.Code != "":
		code := canonicalCode(q.Code)
		if q.Unit == q.Code {
			return code, true
		}
		if text, ok := spelled(q.Unit); ok && contradict(code, text) {
			return "", false
		}
		return code, true
	case q.System == "" && q.Unit == "":
		return spelled(q.Code)
	case q.System == "" || q.System == UCUM:
		return spelled(q.Unit)
	default:
		return "", false
	}
}

// contradict reports whether a number means something else in one unit than in
// the other. Equivalents and moles of what charts write so are the same.
func contradict(a, b string) bool {
	x, knownX := known[a]
	y, knownY := known[b]
	for _, u := range []*unit{&x, &y} {
		switch u.dimension {
		case equivalents:
			u.dimension = substance
		case flow: // many leave out the area in one of the two
			u.dimension = filtration
		}
	}
	return knownX && knownY && x != y
}

// In converts the number into a UCUM unit; the comparator is left to Bounds.
// The empty analyte converts within one dimension only.
func (q Quantity) In(unit string, analyte Analyte) (*apd.Decimal, error) {
	if q.Value == nil {
		return nil, ErrNumber
	}
	from, ok := q.UnitCode()
	if !ok {
		return nil, ErrUnit
	}
	return Convert(q.Value, from, unit, analyte)
}

// Bounds converts into a UCUM unit and returns the interval the quantity
// states: a point has low equal to high; "<30" has no low, and an open high.
func (q Quantity) Bounds(unit string, analyte Analyte) (b Bounds, err error) {
	n, err := q.In(unit, analyte)
	if err != nil {
		return Bounds{}, err
	}
	switch q.Comparator {
	case "":
		return Bounds{Low: n, High: n}, nil
	case "<", "<=":
		return Bounds{High: n, HighOpen: q.Comparator == "<"}, nil
	case ">", ">=":
		return Bounds{Low: n, LowOpen: q.Comparator == ">"}, nil
	default:
		return Bounds{}, ErrNumber
	}
}

// Bounds is an interval of numbers; a nil bound is open to infinity, an open
// bound is itself excluded.
type Bounds struct {
	Low, High         *apd.Decimal
	LowOpen, HighOpen bool
}

// ParseNumber reads a JSON number literal without rounding. The error is
// ErrNumber.
func ParseNumber(literal string) (*apd.Decimal, error) {
	if literal == "" || len(literal) > 40 || strings.IndexFunc(literal, notNumeric) >= 0 {
		return nil, ErrNumber
	}
	d, cond, err := new(apd.Decimal).SetString(literal)
	if err != nil || cond.Any() || d.Form != apd.Finite || d.NumDigits() > 30 || d.Exponent < -30 || d.Exponent > 30 {
		return nil, ErrNumber
	}
	return d, nil
}

func notNumeric(r rune) bool {
	return (r < '0' || r > '9') && r != '.' && r != '-' && r != '+' && r != 'e' && r != 'E'
}

// Convert converts a number from one UCUM unit to another. The same unit
// returns the number itself, unchanged; results of a division have 34 digits.
func Convert(n *apd.Decimal, from, to string, analyte Analyte) (*apd.Decimal, error) {
	from, to = canonicalCode(from), canonicalCode(to)
	if from == to {
		return n, nil
	}
	a, okA := known[from]
	b, okB := known[to]
	if !okA || !okB {
		return nil, ErrUnit
	}
	num, den := "1", "1"
	switch {
	case a.dimension == b.dimension:
	case a.dimension == number && b.dimension == glycation, a.dimension == glycation && b.dimension == number:
		return glycated(n, a, b, analyte)
	default:
		if num, den = analyte.constant(a.dimension, b.dimension); num == "" {
			return nil, ErrUnit
		}
	}
	return scale(n, a, b, num, den)
}

// glycated converts HbA1c between NGSP (per cent) and IFCC (mmol/mol) by the master
// equation, NGSP = 0.09148 IFCC + 2.152 (ngsp.org/ifcc.asp): half up, per cent to two
// decimals and mmol/mol to one, which is finer than either is reported.
func glycated(n *apd.Decimal, from, to unit, analyte Analyte) (*apd.Decimal, error) {
	if e := Lookup(analyte); e == nil || !e.Glycated {
		return nil, ErrUnit
	}
	percent := unit{number, "0.01", "", ""}
	slope, constant, result := decimal("0.09148"), decimal("2.152"), new(apd.Decimal)
	if from.dimension == glycation {
		if _, err := arithmetic.Mul(result, n, slope); err != nil {
			return nil, ErrNumber
		}
		if _, err := arithmetic.Add(result, result, constant); err != nil {
			return nil, ErrNumber
		}
		if _, err := arithmetic.Quantize(result, result, -2); err != nil {
			return nil, ErrNumber
		}
		return scale(result, percent, to, "1", "1")
	}
	n, err := scale(n, from, percent, "1", "1")
	if err != nil {
		return nil, err
	}
	if _, err := arithmetic.Sub(result, n, constant); err != nil {
		return nil, ErrNumber
	}
	if _, err := arithmetic.Quo(result, result, slope); err != nil {
		return nil, ErrNumber
	}
	if _, err := arithmetic.Quantize(result, result, -1); err != nil {
		return nil, ErrNumber
	}
	return result, nil
}

// arithmetic has more digits than any measurement, half up.
var arithmetic = func() *apd.Context {
	ctx := apd.BaseContext.WithPrecision(34)
	ctx.Rounding = apd.RoundHalfUp
	return ctx
}()

// scale converts between two units; num and den are between their base units.
func scale(n *apd.Decimal, from, to unit, num, den string) (*apd.Decimal, error) {
	result, divisor := new(apd.Decimal).Set(n), apd.New(1, 0)
	var err error
	do := func(op func(d, x, y *apd.Decimal) (apd.Condition, error), d *apd.Decimal, constant string) {
		if constant == "" || err != nil {
			return
		}
		if _, wrong := op(d, d, decimal(constant)); wrong != nil {
			err = ErrNumber
		}
	}
	do(arithmetic.Sub, result, from.less)
	do(arithmetic.Mul, result, from.factor)
	do(arithmetic.Mul, result, num)
	do(arithmetic.Mul, result, to.over)
	do(arithmetic.Mul, divisor, from.over)
	do(arithmetic.Mul, divisor, den)
	do(arithmetic.Mul, divisor, to.factor)
	if err != nil {
		return nil, err
	}
	if _, err := arithmetic.Quo(result, result, divisor); err != nil {
		return nil, ErrNumber
	}
	if do(arithmetic.Add, result, to.less); err != nil {
		return nil, err
	}
	result.Reduce(result)
	return result, nil
}

func decimal(constant string) *apd.Decimal {
	d, _, err := apd.NewFromString(constant)
	if err != nil {
		panic("units: constant is not a number: " + constant) // a slip in this package's tables
	}
	return d
}
