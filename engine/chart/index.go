package chart

import (
	"slices"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Resource is one resource of the chart with what every rule needs of it: its
// name, where it came from and the codes it is about.
type Resource struct {
	Type   string
	ID     string   // empty for a draft without one
	Source string   // key of the first source that carries it
	Also   []string // further sources that carry the same type and id
	// Codings and Text are of the element that says what the resource is
	// about: code, medicationCodeableConcept, vaccineCode and their likes.
	Codings []Coding
	Text    string
	Status  string
	// Doubt says why what an order, or a statement about medication, says cannot be
	// relied on: not-understood if it has content that must be understood,
	// ambiguous or wrong-status if it may say that it did not happen. It is empty
	// for nearly all. Resources of other types are left out instead.
	Doubt fact.Code
	// Mapped says that the local code map added to Codings.
	Mapped bool
	// JSON is the resource as sent.
	JSON rawjson.Value

	parts     rawjson.Value // components of an Observation
	fullURL   string
	elsewhere bool      // it lies on another server than that of the call
	ref       string    // made when first asked for
	container *Resource // of a contained resource
}

// Ref names the resource: "Type/id", else its fullUrl, else its type.
func (r *Resource) Ref() string {
	if r.ref == "" {
		switch {
		case r.container != nil:
			r.ref = r.container.Ref() + "#" + r.ID
		case r.ID != "":
			r.ref = r.Type + "/" + r.ID
		case r.fullURL != "":
			r.ref = r.fullURL
		default:
			r.ref = r.Type
		}
	}
	return r.ref
}

// isNamed reports whether Ref is the given text.
func (r *Resource) isNamed(ref string) bool {
	if r.ref != "" || r.ID == "" || r.container != nil {
		return ref == r.Ref()
	}
	n := len(r.Type)
	return len(ref) == n+1+len(r.ID) && ref[n] == '/' && ref[n+1:] == r.ID && ref[:n] == r.Type
}

// typeIndex holds the resources of one type, de-duplicated, without those
// entered in error.
type typeIndex struct {
	list       []Resource // never grown, so that pointers into it hold
	all        []*Resource
	byID       map[string]*Resource
	byURL      map[string]*Resource // made when first asked for
	codings    []Coding             // of all of list, one after the other
	owner      []int32              // of each coding, the place in list
	byCode     map[codeKey]int32
	next       []int32 // place of the next coding that is the same, or -1
	unreadable int
	out        []leftOut
	complete   Completeness // of the sources of the type
}

// leftOut is a resource that does not count, and why.
type leftOut struct {
	Resource
	code fact.Code
}

type codeKey struct{ system, code string }

// Resources returns the resources of a type in the order of the call: drafts
// first, then the sources. Those entered in error are not among them, nor those
// that say that something did not happen, nor those that are not shown to be
// about the patient of the call or cannot be understood, which make the type
// incomplete (LeftOut); one that several sources carry in the same words is there
// once. The list must not be changed.
func (c *Chart) Resources(typ string) []*Resource {
	idx := c.index(typ)
	if idx.all == nil {
		idx.all = make([]*Resource, len(idx.list))
		for n := range idx.list {
			idx.all[n] = &idx.list[n]
		}
	}
	return idx.all
}

// Count returns how many [Chart.Resources] there are of a type.
func (c *Chart) Count(typ string) int { return len(c.index(typ).list) }

// Find returns the resources of a type that carry one of the codes, in the
// order of Resources. The systems of the codes must be canonical.
func (c *Chart) Find(typ string, codes ...Coding) []*Resource {
	idx := c.index(typ)
	idx.indexCodes()
	var places []int32
	for _, code := range codes {
		at, ok := idx.byCode[codeKey{code.System, code.Code}]
		for ; ok && at >= 0; at = idx.next[at] {
			places = append(places, idx.owner[at])
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	found := make([]*Resource, len(places))
	for n, p := range places {
		found[n] = &idx.list[p]
	}
	return found
}

// index decodes the headers of all resources of a type, once.
func (c *Chart) index(typ string) *typeIndex {
	if idx, ok := c.types[typ]; ok {
		return idx
	}
	count := 0
	for _, src := range c.sources {
		for n := range src.items {
			if src.items[n].typ == typ {
				count++
			}
		}
	}
	idx := &typeIndex{complete: c.completeness(typ)}
	c.types[typ] = idx
	if count == 0 {
		return idx
	}
	idx.list, idx.byID, idx.codings = make([]Resource, 0, count), make(map[string]*Resource, count),
		make([]Coding, 0, count)
	for _, src := range c.sources {
		for n := range src.items {
			if it := &src.items[n]; it.typ == typ {
				idx.add(c, it, src)
			}
		}
	}
	return idx
}

func (x *typeIndex) add(c *Chart, it *item, src *Source) {
	first := len(x.codings)
	r := Resource{Type: it.typ, Source: src.Key, JSON: it.raw, fullURL: it.fullURL, elsewhere: c.liesElsewhere(it)}
	h := header{chart: c, item: it, src: src, elsewhere: r.elsewhere}
	h.read(&r, &x.codings)
	x.codings, r.Mapped = c.in.CodeMap.extend(x.codings, first)
	r.Codings = x.codings[first:len(x.codings):len(x.codings)]
	counts := false
	switch have := x.byID[r.ID]; {
	case h.inError:
	case !h.isOurs(&r):
		x.leaveOut(r, fact.NotThisPatient)
	case r.ID != "" && have != nil && have.covers(it, src):
		if have.Source != src.Key && !slices.Contains(have.Also, src.Key) {
			have.Also = append(have.Also, src.Key)
		}
	case h.doubt(&r) != "" && !mayDoubt(&r):
		x.leaveOut(r, h.doubt(&r))
	case h.negated == fact.True && h.doubt(&r) == "":
	default:
		r.Doubt, counts = h.doubt(&r), true
	}
	if !counts {
		x.codings = x.codings[:first]
		return
	}
	if h.malformed {
		x.unreadable++
	}
	x.list = append(x.list, r)
	if r.ID != "" && x.byID[r.ID] == nil && !r.elsewhere {
		x.byID[r.ID] = &x.list[len(x.list)-1]
	}
}

// leaveOut keeps a resource that does not count, with codings of its own.
func (x *typeIndex) leaveOut(r Resource, why fact.Code) {
	r.Codings = slices.Clone(r.Codings)
	x.out = append(x.out, leftOut{r, why})
}

// exposureTypes are the resources that say what a patient takes.
var exposureTypes = []string{
	"MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration",
}

// mayDoubt reports whether a resource is kept although what it says cannot be
// relied on: whoever reads orders and exposures reads Doubt, too.
func mayDoubt(r *Resource) bool {
	return r.Source == DraftsKey || slices.Contains(exposureTypes, r.Type)
}

// covers reports whether another resource of the same type and id says nothing
// new: it is the same text, or what the chart had before a draft changed it.
// Two texts under one name contradict each other, and both count.
func (r *Resource) covers(it *item, src *Source) bool {
	return r.JSON == it.raw || r.Source == DraftsKey && src.Key != DraftsKey
}

// indexCodes chains equal codings, so that one map entry leads to all.
func (x *typeIndex) indexCodes() {
	if x.byCode != nil {
		return
	}
	x.byCode = make(map[codeKey]int32, min(len(x.codings), 32)) // mostly, many have the same code
	x.next, x.owner = make([]int32, len(x.codings)), make([]int32, 0, len(x.codings))
	for n := range x.list {
		for range x.list[n].Codings {
			x.owner = append(x.owner, int32(n))
		}
	}
	for n := range x.codings {
		key := codeKey{x.codings[n].System, x.codings[n].Code}
		if at, ok := x.byCode[key]; ok {
			x.next[n] = at
		} else {
			x.next[n] = -1
		}
		x.byCode[key] = int32(n)
	}
}
