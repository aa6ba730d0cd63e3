// Package fact holds what Precept knows about one clinical question: a fact
// (true, false or unknown) or a value (known, absent or unknown), with the
// reasons why it is not known and the evidence it rests on.
//
// Facts form a graph without circles: every operation keeps its operands, so an
// explanation, a near miss or the coverage of a rule is read off the graph
// afterwards and never recomputed. One fact may be an operand of many, so
// whatever reads a graph goes to each fact once. Everything here is a pure value; nothing reads a clock or
// a chart.
//
// What the package guarantees: the logic is Kleene's (a false operand decides
// an AND, a true one decides an OR, otherwise unknown stays unknown), numbers
// are decimals (never binary floating point), and the zero State is Unknown,
// so that a forgotten assignment cannot read as a reassuring answer.
package fact

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/apd/v3"
)

// State is the answer to a clinical question. The zero value is Unknown.
type State uint8

// The three answers.
const (
	Unknown State = iota
	False
	True
)

// String returns the word used in records, cases and explanations.
func (s State) String() string {
	switch s {
	case True:
		return "true"
	case False:
		return "false"
	default:
		return "unknown"
	}
}

// MarshalText writes the word of String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word of String and refuses any other.
func (s *State) UnmarshalText(b []byte) error {
	switch string(b) {
	case "true":
		*s = True
	case "false":
		*s = False
	case "unknown":
		*s = Unknown
	default:
		return fmt.Errorf("reading a fact's state: want true, false or unknown")
	}
	return nil
}

// Code says why something is not known. Codes are stable: records, cases and
// messages refer to them.
type Code string

// The reasons why a question has no answer.
const (
	NotSupplied           Code = "not-supplied"           // the EHR did not send the source
	FetchFailed           Code = "fetch-failed"           // the EHR sent an error in its place
	PartialResult         Code = "partial-result"         // more pages or entries exist than were sent
	Suppressed            Code = "suppressed"             // the EHR left out entries it may not show
	NoData                Code = "no-data"                // the source is complete and holds nothing
	Stale                 Code = "stale"                  // what there is, is too old
	WrongStatus           Code = "wrong-status"           // only entries in a status that does not count
	TextOnly              Code = "text-only"              // described in words, without a code
	UnknownCode           Code = "unknown-code"           // without a code of a system that the question knows
	UnitUnconvertible     Code = "unit-unconvertible"     // in a unit that cannot be converted safely
	UnparseableDose       Code = "unparseable-dose"       // dosage that cannot be read
	UnresolvedReference   Code = "unresolved-reference"   // points to a resource that was not sent
	Ambiguous             Code = "ambiguous"              // contradicting entries
	Implausible           Code = "implausible"            // outside what a living patient can have
	PrecisionInsufficient Code = "precision-insufficient" // dates or numbers too coarse to decide
	NotThisPatient        Code = "not-this-patient"       // not shown to be about the patient of the call
	NotUnderstood         Code = "not-understood"         // has content that must be understood and is not
	Masked                Code = "masked"                 // withheld for privacy
	NotApplicable         Code = "not-applicable"         // the method does not hold for this patient
	SupplyEnded           Code = "supply-ended"           // said to be taken, and what was supplied is used up
	ValueAbsent           Code = "value-absent"           // reported, with the note that there is no value
)

// Reason is one cause of not knowing: a code and the thing it concerns, named
// as a reader would ("eGFR", "medications"), never with patient data in it.
type Reason struct {
	Code Code   `json:"code"`
	What string `json:"what,omitempty"`
	// Quiet marks a cause that alone is not worth a card, such as a supply that was
	// used up years ago. It is recorded like any other.
	Quiet bool `json:"quiet,omitzero"`
}

// Quiet reports whether there are reasons and none of them is worth a card.
func Quiet(reasons []Reason) bool {
	return len(reasons) > 0 && !slices.ContainsFunc(reasons, func(r Reason) bool { return !r.Quiet })
}

// Evidence points at one resource that was read for an answer.
type Evidence struct {
	Ref    string `json:"ref"`              // as the EHR names it, e.g. "Observation/7"
	What   string `json:"what,omitempty"`   // display of the concept
	Value  string `json:"value,omitempty"`  // the literal value as sent
	Unit   string `json:"unit,omitempty"`   // its unit as sent
	When   string `json:"when,omitempty"`   // its date as sent
	Source string `json:"source,omitempty"` // prefetch key, or "context.draftOrders"
	Note   string `json:"note,omitempty"`   // how it was taken, where that is not as sent, e.g. "pending"
}

// Fact is the answer to one question, and how it came about.
type Fact struct {
	State    State      `json:"state"`
	Op       string     `json:"op"`              // the function that made it, e.g. "fact.less"
	Label    string     `json:"label,omitempty"` // what it says in words
	At       string     `json:"at,omitempty"`    // file:line of the call in the pack
	Limit    string     `json:"limit,omitempty"` // the number or window compared with
	Reasons  []Reason   `json:"reasons,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
	More     int        `json:"more,omitzero"` // resources like those of Evidence that are not named
	// IfOlder is, of an unknown fact, the answer if the older results that
	// [Value.Older] has still held. It decides nothing; it tells how much hangs
	// on what could not be read.
	IfOlder State `json:"if_older,omitzero"`
	// The values compared and the facts combined. Whoever encodes a fact numbers
	// them, because they may be shared.
	Values []*Value `json:"-"`
	Of     []*Fact  `json:"-"`
}

// Presence says whether a value is there.
type Presence uint8

// A value is known, known to be absent, or unknown (the zero value).
const (
	PresenceUnknown Presence = iota
	Absent
	Known
)

// String returns the word used in records.
func (p Presence) String() string {
	switch p {
	case Known:
		return "known"
	case Absent:
		return "absent"
	default:
		return "unknown"
	}
}

// MarshalText writes the word of String.
func (p Presence) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word of String and refuses any other.
func (p *Presence) UnmarshalText(b []byte) error {
	switch string(b) {
	case "known":
		*p = Known
	case "absent":
		*p = Absent
	case "unknown":
		*p = PresenceUnknown
	default:
		return fmt.Errorf("reading a value's state: want known, absent or unknown")
	}
	return nil
}

// Value is a measured, derived or given quantity as an interval, or a date. A point has
// Low equal to High. A nil bound is open to infinity; LowOpen and HighOpen say
// that the bound itself is excluded, so "<30" is {High: 30, HighOpen: true}.
type Value struct {
	State    Presence     `json:"state"`
	Name     string       `json:"name"` // what it is, e.g. "eGFR"
	Low      *apd.Decimal `json:"low,omitempty"`
	High     *apd.Decimal `json:"high,omitempty"`
	LowOpen  bool         `json:"low_open,omitzero"`
	HighOpen bool         `json:"high_open,omitzero"`
	Unit     string       `json:"unit,omitempty"`   // UCUM
	Date     *Date        `json:"date,omitempty"`   // of a date that is known, in the place of bounds and unit
	When     string       `json:"when,omitempty"`   // date of the newest evidence, as sent
	Method   string       `json:"method,omitempty"` // how it was obtained, e.g. "CKD-EPI 2021 from creatinine"
	At       string       `json:"at,omitempty"`
	Reasons  []Reason     `json:"reasons,omitempty"`
	Evidence []Evidence   `json:"evidence,omitempty"`
	More     int          `json:"more,omitzero"` // resources like those of Evidence that are not named
	// Older is, of an unknown value, the newest one that can be used: an older
	// result, or one of a source that may hold newer ones. It never stands in.
	Older *Value `json:"older,omitempty"`
}

// String returns the interval and unit as shown on cards: "27.0 mL/min",
// "< 30", "16.9 to 22.6", or "unknown".
func (v *Value) String() string {
	if v.State != Known {
		return v.State.String()
	}
	if v.Date != nil {
		return v.Date.String()
	}
	var n string
	switch {
	case v.Low != nil && v.High != nil && v.Low.Cmp(v.High) == 0:
		n = digits(v.Low)
	case v.Low == nil && v.High == nil:
		return "unknown"
	case v.Low == nil:
		n = bound("<", v.HighOpen, v.High)
	case v.High == nil:
		n = bound(">", v.LowOpen, v.Low)
	default:
		if n = digits(v.Low); n != digits(v.High) { // else they differ in what is not shown
			n += " to " + digits(v.High)
		}
	}
	if v.Unit == "" {
		return n
	}
	return n + " " + UnitText(v.Unit)
}

func bound(sign string, open bool, d *apd.Decimal) string {
	if !open {
		sign += "="
	}
	return sign + " " + digits(d)
}

// shownDigits are the significant digits of a number that people see.
const shownDigits = 8

// digits writes a number for people: what a conversion between units made long, or a
// division endless, ends after [shownDigits], half up. Comparisons have them all.
func digits(d *apd.Decimal) string {
	if d.NumDigits() > shownDigits {
		short := new(apd.Decimal)
		ctx := apd.BaseContext.WithPrecision(shownDigits)
		ctx.Rounding = apd.RoundHalfUp
		if _, err := ctx.Round(short, d); err == nil {
			short.Reduce(short)
			d = short
		}
	}
	return d.Text('f')
}

// UnitText returns the customary spelling of a UCUM unit on cards.
func UnitText(ucum string) string {
	switch ucum {
	case "mL/min/{1.73_m2}":
		return "mL/min/1.73 m²"
	case "a":
		return "years"
	case "mo":
		return "months"
	case "wk":
		return "weeks"
	case "d":
		return "days"
	case "h":
		return "hours"
	case "umol/L":
		return "µmol/L"
	default:
		return ucum
	}
}
