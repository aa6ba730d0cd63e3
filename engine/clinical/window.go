package clinical

import (
	"strings"
	"time"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
)

// window is a span of time up to the call.
type window struct{ from, to time.Time }

// window returns the one that the option within of a call names, nil if it
// names none.
func (s *Session) window(c *Call) *window {
	if !c.has("within") {
		return nil
	}
	return s.since(c.duration("within"))
}

func (s *Session) since(d dates.Duration) *window {
	now := s.chart.now()
	return &window{from: d.Before(now), to: now}
}

// dated is when something was, as far as it is told.
type dated struct {
	dates.Interval
	What string // of a reason
}

// holds asks whether something lies in the window; without a window everything
// does.
func (w *window) holds(d dated) verdict {
	if w == nil {
		return yes
	}
	state := fact.Unknown
	if d.Known() {
		state = d.Within(w.from, w.to)
	}
	if state == fact.Unknown {
		return open(fact.PrecisionInsufficient, d.What)
	}
	return verdict{state: state}
}

// began is when a condition began, or else when it was first recorded. An onset
// that is told in another way than by a date is one that nobody can compare.
func began(d *chart.Condition) dated {
	when := dated{Interval: d.Onset, What: "date of condition"}
	if d.Onset.Known() {
		return when
	}
	for m := d.JSON.Members(); m.Next(); {
		if strings.HasPrefix(m.Name, "onset") && !m.Value.Missing() {
			return when
		}
	}
	when.Interval = d.Recorded
	return when
}

// overlaps asks whether something lasted at any time in the window; without a
// window everything did. What names its date in a reason.
func (w *window) overlaps(l lasting, what string) verdict {
	if w == nil {
		return yes
	}
	late, early := fact.Unknown, fact.Unknown
	if l.start.Known() {
		late = l.start.After(w.to)
	}
	if l.end.Known() {
		early = l.end.Before(w.from)
	}
	switch {
	case late == fact.True || early == fact.True:
		return no
	case late == fact.False && early == fact.False:
		return yes
	default:
		return verdict{reason: fact.Reason{Code: fact.PrecisionInsufficient, What: what}}
	}
}
