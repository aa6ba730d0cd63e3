package terminology

import (
	"strings"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/rulepacks/vocab"
)

// rxUnits are the units of RxNorm's strengths in UCUM. UNT is a unit whose kind
// depends on the substance, so it converts to nothing.
var rxUnits = map[string]string{
	"MG": "mg", "G": "g", "MCG": "ug", "ML": "mL", "L": "L", "MEQ": "meq", "MMOL": "mmol", "UNT": "{unit}",
	"IU": "[iU]", "HR": "h", "ACTUAT": "{actuat}", "%": "%", "MCI": "mCi", "CELLS": "{cells}", "CFU": "[CFU]",
	"PFU": "[PFU]",
	"LFU": "[Lf]", "BAU": "[BAU]", "AU": "[AU]", "PNU": "[PNU]", "TCID50": "[TCID_50]", "SQCM": "cm2",
}

// read reads a strength: the numbers and units of the basis of strength, else the
// attribute in words, else the end of the component's name.
func (b boss) read(display string) (Amount, bool) {
	if b.num != "" {
		return amountOf(b.num, b.numUnit, b.den, b.denUnit)
	}
	if b.text != "" {
		return parseStrength(b.text, rxUnits)
	}
	words := strings.Fields(display)
	if len(words) < 3 {
		return Amount{}, false
	}
	return parseStrength(strings.Join(words[len(words)-2:], " "), rxUnits)
}

// amountOf reads the four attributes. Without a unit below the line, or with the unit
// 1, the amount is that in one dose unit.
func amountOf(num, numUnit, den, denUnit string) (Amount, bool) {
	unit, ok := rxUnits[strings.ToUpper(numUnit)]
	if !ok || !vocab.IsAmount(num) {
		return Amount{}, false
	}
	a := Amount{Unit: unit}
	if _, _, err := a.Amount.SetString(num); err != nil {
		return Amount{}, false
	}
	if denUnit == "" || denUnit == "1" {
		return a, den == "" || den == "1"
	}
	if a.PerUnit, ok = rxUnits[strings.ToUpper(denUnit)]; !ok || !vocab.IsAmount(den) {
		return Amount{}, false
	}
	_, _, err := a.PerAmount.SetString(den)
	return a, err == nil
}

// parseStrength reads "500 MG", "5 MG/ML" or "250 mg/5 mL". A nil table of units
// stands for UCUM as it is.
func parseStrength(s string, units map[string]string) (Amount, bool) {
	if strings.Contains(s, " / ") { // so RxNorm parts the strengths of several ingredients
		return Amount{}, false
	}
	above, below, per := strings.Cut(s, "/")
	var a Amount
	var ok bool
	if a.Amount, a.Unit, ok = quantity(above, units, false); !ok {
		return Amount{}, false
	}
	if per {
		if a.PerAmount, a.PerUnit, ok = quantity(below, units, true); !ok {
			return Amount{}, false
		}
	}
	return a, true
}

// quantity reads a number and a unit; below the line the number 1 may be left out.
func quantity(s string, units map[string]string, below bool) (n apd.Decimal, unit string, ok bool) {
	words := strings.Fields(s)
	if below && len(words) == 1 {
		words = []string{"1", words[0]}
	}
	if len(words) != 2 || !vocab.IsAmount(words[0]) {
		return n, "", false
	}
	if _, _, err := n.SetString(words[0]); err != nil {
		return n, "", false
	}
	if unit = words[1]; units != nil {
		unit = units[strings.ToUpper(unit)]
	}
	return n, unit, vocab.IsUnit(unit)
}

// decimals computes with strengths exactly: they have at most 18 digits.
var decimals = apd.BaseContext.WithPrecision(40)

// add adds the amount of a second component with the same ingredient; false if they
// are not measured alike.
func (a *Amount) add(o Amount) bool {
	if a.Unit != o.Unit || a.PerUnit != o.PerUnit || a.PerAmount.Cmp(&o.PerAmount) != 0 {
		return false
	}
	cond, err := decimals.Add(&a.Amount, &a.Amount, &o.Amount)
	return err == nil && !cond.Inexact()
}
