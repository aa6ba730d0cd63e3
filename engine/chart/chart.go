package chart

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/fact"
)

// ErrInputs means that a chart was asked for without a request, a time or a
// zone: a slip of the program, not of the sender.
var ErrInputs = errors.New("chart needs a request, a time and a zone")

// Inputs is everything a Chart depends on.
type Inputs struct {
	Request *Request
	// Base is the address of the FHIR server that the client is registered with;
	// if it is empty, that of the request counts.
	Base string
	// Fetched are sources fetched afterwards; each replaces the prefetch
	// source of its key.
	Fetched []*Source
	// Declared names, per prefetch key the service advertises, the resource
	// types its template asks for. Keys not in it are not seen by rules. Only
	// a declared source can establish that a type is complete. If Declared is
	// nil, every source is seen and counts for the types it holds matches of.
	Declared map[string][]string
	Now      time.Time
	Zone     *time.Location // of the tenant, from dates.Zone
	// Terminology may be nil: then no drug is identified.
	Terminology *Terminology
	// CodeMap may be nil: then no local code is mapped.
	CodeMap *CodeMap
}

// Chart is the patient context of one call. It decodes lazily and caches what
// it decoded; it is not safe for concurrent use.
type Chart struct {
	in        Inputs
	now       time.Time
	base      string    // FHIR server, see CanonicalBase, or empty
	sources   []*Source // drafts first, then in the order of the body
	types     map[string]*typeIndex
	urls      map[string]*item
	urns      map[urnKey]*item
	drafts    map[codeKey]int // how many have a type and id
	orders    []*Order
	exposures []*Exposure
	codings   []Coding // of routes, one after the other
	dosings   map[*Resource]*Dosing
	allergies map[*Resource]*Allergy
	read      struct{ orders, exposures, unnamed bool }

	withoutCode []unnamed // observations
}

// New makes the chart of a call. Nothing is decoded yet. The error is
// ErrInputs.
func New(in Inputs) (*Chart, error) {
	if in.Request == nil || in.Now.IsZero() || in.Zone == nil {
		return nil, ErrInputs
	}
	c := &Chart{in: in, now: in.Now.In(in.Zone), types: make(map[string]*typeIndex)}
	c.base, _ = CanonicalBase(cmp.Or(in.Base, in.Request.FHIRServer))
	c.sources = append(make([]*Source, 0, 1+len(in.Request.Prefetch)+len(in.Fetched)), &in.Request.Drafts)
	for n := range in.Request.Prefetch {
		c.addSource(&in.Request.Prefetch[n])
	}
	for _, src := range in.Fetched {
		c.addSource(src)
	}
	return c, nil
}

func (c *Chart) addSource(src *Source) {
	if src.Key == DraftsKey {
		return // no prefetch key; it would pass for drafts
	}
	if c.in.Declared != nil {
		if _, ok := c.in.Declared[src.Key]; !ok {
			return
		}
	}
	for n, have := range c.sources[1:] {
		if have.Key == src.Key {
			c.sources[n+1] = src
			return
		}
	}
	c.sources = append(c.sources, src)
}

// Request returns the call the chart was made of.
func (c *Chart) Request() *Request { return c.in.Request }

// Now returns the time of the call in the tenant's zone.
func (c *Chart) Now() time.Time { return c.now }

// Zone returns the tenant's zone.
func (c *Chart) Zone() *time.Location { return c.in.Zone }

// Source returns the completeness of a prefetch key, NotSupplied if it was
// neither sent nor fetched.
func (c *Chart) Source(key string) Completeness {
	if src := c.source(key); src != nil {
		return src.Completeness
	}
	return NotSupplied
}

// Held returns the completeness of a prefetch key as rules see it (what holds only
// resources that its template does not ask for was not supplied), and how many
// resources came under it.
func (c *Chart) Held(key string) (state Completeness, resources int) {
	src := c.source(key)
	if src == nil {
		return NotSupplied, 0
	}
	if c.in.Declared == nil {
		return src.Completeness, src.Len()
	}
	return c.declared(key), src.Len()
}

// Whole reports whether every declared source, or every one that came where none is
// declared, came whole.
func (c *Chart) Whole() bool {
	for key := range c.in.Declared { // in any order
		if c.declared(key) != Complete {
			return false
		}
	}
	return !slices.ContainsFunc(c.sources[1:], func(s *Source) bool { return s.Completeness != Complete })
}

func (c *Chart) source(key string) *Source {
	for _, src := range c.sources[1:] {
		if src.Key == key {
			return src
		}
	}
	return nil
}

// Declares reports whether a source for a resource type is declared or, where
// nothing is declared, was delivered.
func (c *Chart) Declares(typ string) bool {
	if c.in.Declared == nil {
		return slices.ContainsFunc(c.sources[1:], func(s *Source) bool { return s.matches(typ) })
	}
	for _, types := range c.in.Declared {
		if slices.Contains(types, typ) {
			return true
		}
	}
	return false
}

// matches reports whether a source holds a resource of the type for its own
// sake, not because another one refers to it.
func (s *Source) matches(typ string) bool {
	return slices.ContainsFunc(s.items, func(it item) bool { return it.typ == typ && !it.included })
}

// Complete reports whether the absence of a resource of these types means
// that there is none: every source declared for them came whole, every
// resource of them could be read and understood, and is shown to be about the
// patient of the call. If not, the reasons say why, one per cause and kind.
func (c *Chart) Complete(types ...string) (bool, []fact.Reason) {
	var reasons []fact.Reason
	for _, typ := range types {
		idx := c.index(typ)
		state := idx.complete
		if state == Complete && idx.unreadable > 0 {
			state = Partial
		}
		because := func(code fact.Code) {
			if r := (fact.Reason{Code: code, What: nounOf(typ)}); !slices.Contains(reasons, r) {
				reasons = append(reasons, r)
			}
		}
		if state != Complete {
			because(reasonOf(state))
		}
		for n := range idx.out {
			if n == 0 || idx.out[n].code != idx.out[n-1].code { // mostly, all for the same cause
				because(idx.out[n].code)
			}
		}
	}
	return len(reasons) == 0 && len(types) > 0, reasons
}

// LeftOut points at the resources of some types that came and do not count,
// because they could not be understood or are not shown to be about the patient
// of the call. Of the latter nothing is told but where they are.
// Of many the first are named, and the others counted.
func (c *Chart) LeftOut(most int, types ...string) (list []fact.Evidence, more int) {
	for _, typ := range types {
		out := c.index(typ).out
		more += len(out)
		for n := 0; n < len(out) && len(list) < most; n++ {
			o := &out[n]
			e := fact.Evidence{Ref: o.Ref(), What: o.label(), Source: o.Source}
			if o.code == fact.NotThisPatient || e.What == "" {
				e.What = nounOf(typ)
			}
			list, more = append(list, e), more-1
		}
	}
	return list, more
}

// completeness is the worst of the sources that are declared for the type or
// carry it.
func (c *Chart) completeness(typ string) Completeness {
	worst, any := Complete, false
	for key, types := range c.in.Declared { // the worst is the same in any order
		if slices.Contains(types, typ) {
			worst, any = min(worst, c.declared(key)), true
		}
	}
	for _, src := range c.sources[1:] {
		if src.matches(typ) {
			worst = min(worst, src.Completeness)
			any = any || c.in.Declared == nil
		}
	}
	if !any {
		return NotSupplied
	}
	return worst
}

// declared is the completeness of a declared key; what holds only resources of
// types that its template does not ask for is the answer to another question,
// and counts as not supplied.
func (c *Chart) declared(key string) Completeness {
	src := c.source(key)
	if src == nil {
		return NotSupplied
	}
	asked := func(it item) bool { return slices.Contains(c.in.Declared[key], it.typ) }
	if len(src.items) > 0 && !slices.ContainsFunc(src.items, asked) {
		return min(src.Completeness, NotSupplied)
	}
	return src.Completeness
}

func reasonOf(c Completeness) fact.Code {
	switch c {
	case Failed:
		return fact.FetchFailed
	case Suppressed:
		return fact.Suppressed
	case Partial:
		return fact.PartialResult
	default:
		return fact.NotSupplied
	}
}

// nounOf names a resource type as a reader would.
func nounOf(typ string) string {
	switch typ {
	case "MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration", "Medication":
		return "medications"
	case "Observation":
		return "laboratory results"
	case "Condition":
		return "conditions"
	case "AllergyIntolerance":
		return "allergies"
	case "Procedure":
		return "procedures"
	case "Encounter":
		return "encounters"
	case "Location":
		return "locations"
	case "Immunization":
		return "immunizations"
	case "Patient":
		return "patient"
	default:
		return typ
	}
}
