package chart

import (
	"time"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// judge sets Start, End, Active and Reasons from status and dates. It reports
// false if the resource states no exposure.
//
// An order or statement that was stopped or cancelled is not taken now: Active
// is false, for its status says so and FHIR requires no date beside it. Since
// when it is not taken only an end tells. Without one, During is unknown for
// every window that the end may lie in: doses may have been taken up to the
// call, and a washout must not be believed over because nobody wrote down when
// it began.
func (e *Exposure) judge(t timing) bool {
	switch e.Type {
	case "MedicationDispense":
		return e.judgeDispense(t)
	case "MedicationAdministration":
		return e.judgeAdministration(t)
	case "MedicationRequest":
		if !e.Draft && (e.Intent == "proposal" || e.Intent == "option") {
			return false
		}
	}
	e.Start, e.End = first(t.start, t.from, t.authored), first(t.end, t.to)
	switch e.Status {
	case "active":
		e.Active = fact.True
		if e.Type == "MedicationStatement" && e.End.Before(e.now) == fact.True {
			e.unknown(fact.Ambiguous, "medication status and dates") // said to be taken, and to have ended
		}
	case "draft", "":
		switch {
		case e.Draft:
			e.Active = fact.True // about to be taken, if it is signed
		case e.Status == "draft":
			return false
		default:
			e.unknown(fact.WrongStatus, "medications")
			e.uncertain = true
		}
	case "not-taken":
		return false
	case "stopped", "cancelled":
		e.Active = fact.False
		e.ended()
	case "completed":
		e.completed()
	default: // on-hold, intended, unknown, or of another version
		e.unknown(fact.WrongStatus, "medications")
		e.uncertain = true
	}
	return true
}

// ended cuts the end off at the time of the call: what was stopped has ended,
// though a plan may say later. Of a planned end in the future nothing is left
// but that bound.
func (e *Exposure) ended() {
	if e.End.After(e.now) == fact.True {
		e.End = dates.Interval{}
	}
	if e.End.To.IsZero() || e.End.To.After(e.now) {
		e.End.To = e.now
	}
}

// completed judges an order or statement that ran to its end. Without an end
// that lies before the call the patient may still take what was supplied.
func (e *Exposure) completed() {
	switch {
	case !e.End.Known():
		e.unknown(fact.PrecisionInsufficient, imprecise.What)
	case e.End.Before(e.now) == fact.True:
		e.Active = fact.False
	case e.End.After(e.now) == fact.True:
		e.unknown(fact.Ambiguous, "medication status and dates")
	default:
		e.unknown(fact.PrecisionInsufficient, imprecise.What)
	}
}

// judgeDispense counts a dispense from its handover for the days it supplies.
func (e *Exposure) judgeDispense(t timing) bool {
	if e.Start = first(t.handed, t.authored); t.unread {
		e.Start = dates.Interval{} // it was handed over some time, not when it was prepared
	}
	if t.days > 0 && e.Start.Known() {
		supply := dates.Duration{Days: t.days}
		e.End = dates.Interval{From: supply.After(e.Start.From), To: supply.After(e.Start.To)}
	}
	switch e.Status {
	case "cancelled", "declined":
		return false
	case "completed":
	default: // preparation, in-progress, on-hold, stopped, unknown
		e.unknown(fact.WrongStatus, "medications")
		e.uncertain = true
		return true
	}
	switch {
	case e.Start.After(e.now) == fact.True || e.End.Before(e.now) == fact.True:
		e.Active = fact.False
	case e.End.Known() && e.End.Before(e.now) == fact.False:
		e.Active = fact.True
	default:
		e.unknown(fact.PrecisionInsufficient, imprecise.What)
	}
	return true
}

// judgeAdministration counts an administered drug for a day after its end.
func (e *Exposure) judgeAdministration(t timing) bool {
	e.Start, e.End = t.from, t.to
	switch e.Status {
	case "not-done":
		return false
	case "in-progress":
		e.Active = fact.True
		return true
	case "completed", "stopped":
	default:
		e.unknown(fact.WrongStatus, "medications")
		e.uncertain = true
		return true
	}
	e.ended()
	lasting := dates.Interval{From: carried(e.End.From), To: carried(e.End.To)}
	switch lasting.Before(e.now) {
	case fact.True:
		e.Active = fact.False
	case fact.False:
		e.Active = fact.True
	default:
		e.unknown(fact.PrecisionInsufficient, imprecise.What)
	}
	return true
}

func carried(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(administrationLasts)
}

func (e *Exposure) unknown(code fact.Code, what string) {
	e.Active = fact.Unknown
	e.Reasons = append(e.Reasons, fact.Reason{Code: code, What: what})
}
