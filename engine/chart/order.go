package chart

import (
	"slices"
	"strconv"
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Order is one order of context.draftOrders, of any type and status.
type Order struct {
	*Resource
	Drug   Drug     // of a medication order
	Routes []Coding // of all dosage instructions
	Dosage string   // texts of all dosage instructions, joined by "; "
	Intent string
	// Predecessors are the orders this one changes or carries out, as
	// Chart.LocalRef writes them: priorPrescription, basedOn, replaces.
	Predecessors []string
	// Reason says why nobody can tell what is ordered: text-only,
	// unresolved-reference or no-data. It is zero if a code says it.
	Reason fact.Reason
}

// Name returns what is ordered in words, or its type.
func (o *Order) Name() string {
	if name := o.Drug.Name(); name != "" {
		return name
	}
	if o.Text != "" {
		return o.Text
	}
	for _, c := range o.Codings {
		if c.Display != "" {
			return c.Display
		}
	}
	return o.Type
}

// Identified reports whether codes say what is ordered.
func (o *Order) Identified() bool { return o.Reason == (fact.Reason{}) }

// Concerns reports whether a reference names this order or one that it
// changes or carries out; such an entry of the chart is not another drug.
func (o *Order) Concerns(ref string) bool {
	return ref == o.Ref() || slices.Contains(o.Predecessors, ref)
}

// ConcernsResource is Concerns for what names a resource of the chart. It
// costs no text: it is asked for every pair of an order and an exposure. Of the
// drafts only the order itself is the order, whatever the others are called;
// and a resource that has neither id nor fullUrl has no name to be meant by.
func (o *Order) ConcernsResource(r *Resource) bool {
	switch {
	case r == o.Resource:
		return true
	case r.ID == "" && r.fullURL == "":
		return false
	}
	return r.Source != DraftsKey && r.isNamed(o.Ref()) || slices.ContainsFunc(o.Predecessors, r.isNamed)
}

// Evidence points at the order.
func (o *Order) Evidence() fact.Evidence {
	return fact.Evidence{Ref: o.Ref(), What: o.Name(), Source: o.Source, Note: mappedNote(o.Mapped || o.Drug.Mapped)}
}

// isOrder lists the resource types that are orders; other resources of
// draftOrders, such as a Medication an order refers to, are not.
func isOrder(typ string) bool {
	switch typ {
	case "MedicationRequest", "ServiceRequest", "NutritionOrder", "VisionPrescription", "DeviceRequest",
		"CommunicationRequest", "SupplyRequest", "ImmunizationRecommendation", "MedicationOrder", "ProcedureRequest":
		return true
	default:
		return false
	}
}

// closed lists the states of an order that is none any more, or none yet to be
// carried out again: nobody is about to place it.
func closed(status string) bool {
	switch status {
	case "cancelled", "stopped", "revoked", "completed", "ended", "rejected", enteredInError:
		return true
	default:
		return false
	}
}

// Orders returns the orders of context.draftOrders in their order, without
// those entered in error, cancelled, stopped or carried out, those that forbid
// (doNotPerform), and those that are not shown to be for the patient of the call
// ([Chart.OrdersLeftOut]).
func (c *Chart) Orders() []*Order {
	if c.read.orders {
		return c.orders
	}
	c.read.orders = true
	next, names := make(map[string]int, 2), make(map[string]int, 8)
	for _, it := range c.sources[0].items {
		if !isOrder(it.typ) {
			continue
		}
		// Drafts come first in every index and in their order: one that is
		// not next was dropped.
		idx, n := c.index(it.typ), next[it.typ]
		if n >= len(idx.list) || idx.list[n].Source != DraftsKey || idx.list[n].JSON != it.raw {
			continue
		}
		next[it.typ] = n + 1
		if o := c.order(&idx.list[n]); !closed(o.Status) {
			o.distinguish(names)
			c.orders = append(c.orders, o)
		}
	}
	return c.orders
}

// OrdersLeftOut points at the orders that are not shown to be for the patient of
// the call.
func (c *Chart) OrdersLeftOut() []fact.Evidence {
	var left []fact.Evidence
	var seen []string
	for _, it := range c.sources[0].items {
		if !isOrder(it.typ) || slices.Contains(seen, it.typ) {
			continue
		}
		seen = append(seen, it.typ)
		for _, o := range c.index(it.typ).out {
			if o.Source == DraftsKey {
				left = append(left, fact.Evidence{Ref: o.Ref(), What: o.Type, Source: o.Source})
			}
		}
	}
	return left
}

// Target returns what a client finds the order by, as "Type/id". ok is false if it
// has no id that can stand in a reference, or shares it with another draft: what
// is done to that name could be done to something else.
func (c *Chart) Target(o *Order) (ref string, ok bool) {
	for i := 0; i < len(o.ID); i++ {
		if !unreserved(o.ID[i]) {
			return "", false
		}
	}
	if o.ID == "" {
		return "", false
	}
	if c.drafts == nil {
		c.drafts = make(map[codeKey]int, len(c.sources[0].items))
		for _, it := range c.sources[0].items {
			c.drafts[codeKey{it.typ, it.raw.Get("id").Text()}]++
		}
	}
	return o.Type + "/" + o.ID, c.drafts[codeKey{o.Type, o.ID}] == 1
}

// distinguish returns an order a name of its own: findings and cuts are filed by
// it, and two drafts may come without an id or under one.
func (o *Order) distinguish(names map[string]int) {
	name := o.Ref()
	for names[name] > 0 {
		names[o.Ref()]++
		name = o.Ref() + "#" + strconv.Itoa(names[o.Ref()])
	}
	names[name]++
	o.ref = name
}

// Selected returns the orders that context.selections names, by "Type/id" or by
// the id alone.
func (c *Chart) Selected() []*Order {
	named := make(map[string]bool, len(c.in.Request.Selections))
	for _, s := range c.in.Request.Selections {
		named[c.LocalRef(s)] = true
	}
	var selected []*Order
	for _, o := range c.Orders() {
		if named[o.Ref()] || o.ID != "" && named[o.ID] {
			selected = append(selected, o)
		}
	}
	return selected
}

// order decodes one order.
func (c *Chart) order(r *Resource) *Order {
	o := &Order{Resource: r}
	var medRef rawjson.Value
	for m := r.JSON.Members(); m.Next(); {
		switch m.Name {
		case "intent":
			o.Intent = m.Value.Text()
		case "medicationReference":
			medRef = m.Value
		case "medication":
			medRef = m.Value.Get("reference")
		case "priorPrescription", "basedOn", "replaces":
			o.Predecessors = c.references(o.Predecessors, m.Value)
		case "dosageInstruction":
			o.Routes, o.Dosage = c.routes(m.Value), doses(m.Value)
		}
	}
	switch r.Type {
	case "MedicationRequest", "MedicationOrder":
		o.Drug = c.drug(r, medRef)
		o.Reason = o.Drug.Reason
	case "ServiceRequest", "DeviceRequest", "ProcedureRequest":
		o.Reason = uncoded(r)
	}
	return o
}

// uncoded says why an order that should have a code has none.
func uncoded(r *Resource) fact.Reason {
	switch {
	case len(r.Codings) > 0:
		return fact.Reason{}
	case r.Text != "":
		return fact.Reason{Code: fact.TextOnly, What: "order"}
	case !r.JSON.Get("codeReference").Missing(), !r.JSON.Get("code").Get("reference").Missing(): // R4; R5
		return fact.Reason{Code: fact.UnresolvedReference, What: "order"}
	default:
		return fact.Reason{Code: fact.NoData, What: "order"}
	}
}

// routes reads the routes of dosage instructions. If some have one in codes and
// some have not, the last of them has no code: there is a route nobody can tell. Of
// several codings of one route those that are known say what the others mean.
func (c *Chart) routes(v rawjson.Value) []Coding {
	first, open := len(c.codings), false
	for e := v.Elements(); e.Next(); {
		before := len(c.codings)
		for m := e.Value.Members(); m.Next(); {
			if m.Name == "route" {
				c.codings, _, _ = c.concept(m.Value, c.codings)
			}
		}
		strange := func(x Coding) bool {
			_, ok := SiteOf(x)
			return !ok
		}
		if one := c.codings[before:]; len(one) > 1 && slices.ContainsFunc(one, func(x Coding) bool { return !strange(x) }) {
			c.codings = c.codings[:before+len(slices.DeleteFunc(one, strange))]
		}
		open = open || len(c.codings) == before
	}
	if open && len(c.codings) > first {
		c.codings = append(c.codings, Coding{System: SNOMED})
	}
	return slices.Clip(c.codings[first:])
}

// doses reads the texts of dosage instructions.
func doses(v rawjson.Value) string {
	var texts []string
	for e := v.Elements(); e.Next(); {
		if t := e.Value.Get("text").Text(); t != "" {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "; ")
}
