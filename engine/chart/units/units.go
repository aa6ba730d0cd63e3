// Package units converts measured quantities between UCUM units in decimal
// arithmetic.
//
// It knows few units on purpose. Scaling within one dimension (mg/dL and mg/L)
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
	x, knownX := unitOf(a)
	y, knownY := unitOf(b)
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
	a, okA := unitOf(from)
	b, okB := unitOf(to)
	if !okA || !okB {
		return nil, ErrUnit
	}
	multiply, divide := a.factor, b.factor
	num, den := "1", "1"
	if a.dimension != b.dimension {
		if num, den = analyte.constant(a.dimension, b.dimension); num == "" {
			return nil, ErrUnit
		}
	}
	return scale(n, []string{multiply, num}, []string{divide, den})
}

// scale multiplies and divides by decimal constants.
func scale(n *apd.Decimal, by, over []string) (*apd.Decimal, error) {
	ctx := apd.BaseContext.WithPrecision(34)
	ctx.Rounding = apd.RoundHalfUp
	result, divisor := new(apd.Decimal).Set(n), apd.New(1, 0)
	for _, f := range by {
		if _, err := ctx.Mul(result, result, decimal(f)); err != nil {
			return nil, ErrNumber
		}
	}
	for _, f := range over {
		if _, err := ctx.Mul(divisor, divisor, decimal(f)); err != nil {
			return nil, ErrNumber
		}
	}
	if _, err := ctx.Quo(result, result, divisor); err != nil {
		return nil, ErrNumber
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
