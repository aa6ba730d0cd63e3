package chart

import (
	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// AsNeeded tells whether a drug is taken only as needed: every dosage instruction
// says so. It is false if one is for certain times, and unknown where there is no
// instruction, or one in words only.
func (r *Resource) AsNeeded() fact.State {
	v := r.JSON.Get("dosageInstruction")
	if v.Missing() {
		v = r.JSON.Get("dosage")
	}
	all := fact.Unknown
	for e := v.Elements(); e.Next(); {
		switch one := asNeeded(e.Value); {
		case one == fact.False:
			return fact.False
		case one == fact.Unknown:
			all = fact.Unknown
			for e.Next() {
				if asNeeded(e.Value) == fact.False {
					return fact.False
				}
			}
			return all
		default:
			all = fact.True
		}
	}
	return all
}

// asNeeded reads one dosage instruction, of any version.
func asNeeded(v rawjson.Value) fact.State {
	timed := false
	for m := v.Members(); m.Next(); {
		switch m.Name {
		case "asNeededBoolean", "asNeeded":
			if s := flag(m.Value); s != fact.False || !m.Value.Missing() {
				return s
			}
		case "asNeededCodeableConcept", "asNeededFor":
			if !m.Value.Missing() && m.Value != "[]" {
				return fact.True
			}
		case "timing":
			timed = !m.Value.Missing()
		}
	}
	if timed {
		return fact.False
	}
	return fact.Unknown
}
