package chart

import (
	"time"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// Overlaps tells whether two drugs were, are or will be taken at the same time,
// where this one counts for some time after its end (a washout; nothing for none).
func (e *Exposure) Overlaps(o *Exposure, washout dates.Duration) (fact.State, []fact.Reason) {
	mine, other := e.span(washout), o.span(dates.Duration{})
	switch {
	case mine.after(other) || other.after(mine):
		return fact.False, nil
	case mine.meets(other) && other.meets(mine) && !e.uncertain && !o.uncertain:
		return fact.True, nil
	}
	if reasons := fact.Merge(e.Reasons, o.Reasons); len(reasons) > 0 {
		return fact.Unknown, reasons
	}
	return fact.Unknown, []fact.Reason{imprecise}
}

// Taking returns for how long it has been taken, at the least and at the most; ok is
// false where the start is not known.
func (e *Exposure) Taking() (least, most time.Duration, ok bool) {
	if e.Start.From.IsZero() || e.Start.To.IsZero() {
		return 0, 0, false
	}
	return max(e.now.Sub(e.Start.To), 0), max(e.now.Sub(e.Start.From), 0), true
}

// taking is a time of taking: its two ends, each known to lie between two bounds. A
// zero bound is none.
type taking struct{ start, end dates.Interval }

// span returns the time of taking, its end put off.
func (e *Exposure) span(by dates.Duration) taking {
	p := taking{e.Start, e.End}
	if !e.claimed && e.Supply.Known() && !e.End.Known() { // dispensed
		p.end = e.Supply
	}
	if e.Active == fact.True {
		if p.end.From.Before(e.now) {
			p.end.From = e.now
		}
		if p.start.To.IsZero() {
			p.start.To = e.now
		}
	}
	if e.unsized && p.end.To.IsZero() && !e.Start.To.IsZero() {
		p.end = dates.Interval{From: e.Start.From, To: longestSupply.After(e.Start.To)}
	}
	if !p.end.From.IsZero() {
		p.end.From = by.After(p.end.From)
	}
	if !p.end.To.IsZero() {
		p.end.To = by.After(p.end.To)
	}
	return p
}

// after reports that it certainly began when the other was over.
func (p taking) after(o taking) bool {
	return !p.start.From.IsZero() && !o.end.To.IsZero() && p.start.From.After(o.end.To)
}

// meets reports that it certainly began before the other was over.
func (p taking) meets(o taking) bool {
	return !p.start.To.IsZero() && !o.end.From.IsZero() && !p.start.To.After(o.end.From)
}
