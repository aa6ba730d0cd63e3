package chart

import (
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// judge sets Start, End, Supply, Active and Reasons from status and dates. It
// reports false if the resource states no exposure.
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
		if !e.judgeDispense(t) {
			return false
		}
	case "MedicationAdministration":
		if !e.judgeAdministration(t) {
			return false
		}
	case "MedicationRequest":
		if !e.Draft && (e.Intent == "proposal" || e.Intent == "option") || !e.judgeOrder(t) {
			return false
		}
	default:
		if !e.judgeStatement(t) {
			return false
		}
	}
	return true
}

// judgeOrder judges a MedicationRequest. What its supply says comes last: it may
// be used up while the status, which nobody has looked after, is still active.
func (e *Exposure) judgeOrder(t timing) bool {
	e.Start = first(t.start, t.from, t.valid[0], t.authored)
	e.End = first(t.end, t.to, t.supplied())
	if !e.Draft {
		e.Supply = t.usedUp(e.Start, t.all)
	}
	e.claimed = true
	switch e.Status {
	case "active":
		e.Active = fact.True
		if e.End = first(e.End, t.valid[1]); e.End.Before(e.now) == fact.True {
			e.Active = fact.False // the plan ended, or may no longer be handed out
			return true
		}
	case "draft", "":
		switch {
		case e.Draft:
			e.Active = fact.True // about to be taken, if it is signed
		case e.Status == "draft":
			return false
		default:
			e.open()
		}
	case "stopped", "cancelled", "completed":
		e.over(e.Status, &t)
		return true
	default: // on-hold, unknown, or of another version
		e.open()
	}
	e.ranOut()
	return true
}

// judgeStatement judges a MedicationStatement: by its status, of R5 by how the drug
// is taken.
func (e *Exposure) judgeStatement(t timing) bool {
	e.Start, e.End = first(t.start, t.from), first(t.end, t.to)
	e.Supply = t.usedUp(e.Start, dates.Duration{})
	e.claimed = true
	status := e.Status
	if status == "recorded" {
		status = takenAs(t)
	}
	switch status {
	case "active":
		if t.point { // that it was taken then does not say that it ended
			e.End = t.end
		}
		e.Active = fact.True
		if e.End.Before(e.now) == fact.True {
			e.unknown(fact.Ambiguous, "medication status and dates") // said to be taken, and to have ended
			return true
		}
	case "draft", "not-taken":
		return false
	case "stopped", "cancelled", "completed":
		e.over(status, &t)
		return true
	default: // on-hold, intended, unknown, or of another version
		e.open()
	}
	e.ranOut()
	return true
}

// takenAs returns the status that a recorded statement of R5 would have in R4.
func takenAs(t timing) string {
	switch t.adherence {
	case "taking", "taking-as-directed", "taking-not-as-directed":
		return "active"
	case "not-taking":
		return "not-taken"
	case "stopped", "stopped-as-directed", "stopped-not-as-directed":
		return "stopped"
	case "": // the effective time alone tells
		switch {
		case t.from.Known() && !t.point && !t.to.Known():
			return "active"
		case t.to.Known() && !t.point:
			return "completed"
		}
	}
	return "unknown"
}

// open is for a status that leaves open whether the drug was ever taken.
func (e *Exposure) open() {
	e.unknown(fact.WrongStatus, "medications")
	e.uncertain = true
}

// over judges a status that says that it is over.
func (e *Exposure) over(status string, t *timing) {
	e.claimed = false
	if status == "completed" {
		e.completed(t)
		return
	}
	e.Active = fact.False
	e.ended(t)
}

// ranOut makes unknown what is said to be taken and was supplied for a time that
// is past.
func (e *Exposure) ranOut() {
	if e.Active == fact.True && e.Supply.Before(e.now) == fact.True {
		e.unknown(fact.SupplyEnded, medication)
	}
}

// stop is a statement that the drug of some orders is not taken any more.
type stop struct {
	orders   []string
	end      dates.Interval
	asserted dates.Interval // or, if that is not known, the end
}

// stops returns the stop that a statement is: by its status, and about the orders
// that it names. One that reports that a drug was never taken is no exposure.
func (e *Exposure) stops(takes bool) (s stop, ok bool) {
	if e.Type != "MedicationStatement" || len(e.BasedOn)+len(e.derivedFrom) == 0 ||
		takes && (e.Active != fact.False || e.uncertain) || !takes && e.Status != "not-taken" {
		return s, false
	}
	s = stop{orders: append(slices.Clip(e.BasedOn), e.derivedFrom...), end: e.End, asserted: first(e.asserted, e.End)}
	return s, s.asserted.Known()
}

// stopBy ends an order that a later statement says is not taken any more, though
// nobody has changed its status since.
func (e *Exposure) stopBy(s *stop) {
	if e.Type != "MedicationRequest" || e.Draft || !e.claimed || e.Active == fact.False ||
		e.Start.Known() && s.asserted.Before(e.Start.From) != fact.False || !slices.ContainsFunc(s.orders, e.isNamed) {
		return
	}
	e.Active, e.Reasons, e.claimed, e.uncertain = fact.False, nil, false, false
	if e.End = s.end; !e.End.Known() {
		e.End = dates.Interval{To: s.asserted.To, Text: s.asserted.Text}
	}
	e.ended(&timing{})
}

// ended cuts the end off at the time when the status is known to have come about,
// at the latest the time of the call: what was stopped has ended, though a plan
// may say later. Of a planned end after it nothing is left but that bound.
func (e *Exposure) ended(t *timing) {
	if t.changed.Known() && e.End.Before(t.changed.From) != fact.True {
		e.End = t.changed
	}
	by := e.now
	for _, b := range [...]time.Time{t.changed.To, t.updated.To} {
		if !b.IsZero() && b.Before(by) {
			by = b
		}
	}
	if e.End.After(by) == fact.True {
		e.End = dates.Interval{}
	}
	if e.End.To.IsZero() || e.End.To.After(by) {
		e.End.To = by
	}
}

// completed judges an order or statement that ran to its end. What was supplied
// may still be taken, for as long as it lasts: unless somebody wrote down how long
// that is, as long as a supply may last that was handed out at the start, or while
// the prescription was valid.
func (e *Exposure) completed(t *timing) {
	handed := e.Start.To
	if valid := t.valid[1].To; !handed.IsZero() && valid.After(handed) {
		handed = valid
	}
	switch {
	case e.End.Before(e.now) == fact.True:
		e.Active = fact.False
	case e.End.After(e.now) == fact.True:
		e.unknown(fact.Ambiguous, "medication status and dates")
	case e.End.Known():
		e.unknown(fact.PrecisionInsufficient, imprecise.What)
	case e.Supply.Before(e.now) == fact.True:
		e.unknown(fact.SupplyEnded, medication)
	case e.Supply.Known():
		e.unknown(fact.Ambiguous, "medication status and dates")
	case !handed.IsZero() && longestSupply.After(handed).Before(e.now):
		e.Active = fact.False
		e.ended(&timing{})
	default:
		e.unknown(fact.PrecisionInsufficient, imprecise.What)
	}
}

// judgeDispense counts a dispense from its handover for the days it supplies.
func (e *Exposure) judgeDispense(t timing) bool {
	if e.Start = first(t.handed, t.authored); t.unread {
		e.Start = dates.Interval{} // it was handed over some time, not when it was prepared
	}
	e.Supply = t.usedUp(e.Start, t.supply)
	e.unsized = !e.Supply.Known()
	switch e.Status {
	case "cancelled", "declined":
		return false
	case "completed":
	default: // preparation, in-progress, on-hold, stopped, unknown
		e.open()
		return true
	}
	switch {
	case e.Start.After(e.now) == fact.True:
		e.Active = fact.False
	case e.unsized && !e.Start.To.IsZero() && longestSupply.After(e.Start.To).Before(e.now):
		e.Active = fact.False
	case e.Supply.Before(e.now) == fact.True:
		e.unknown(fact.SupplyEnded, medication)
	case e.Supply.Known() && e.Supply.Before(e.now) == fact.False:
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
		e.open()
		return true
	}
	e.ended(&timing{})
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
