package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// A resource counts only if it can be shown to be about the patient of the call.
// What is about somebody else, about a part or a device of the patient's, about
// whom nobody says, or about a person of another server, is left out, and its
// type is not complete.

// about notes a member that says whom a resource is about: one reference, or a
// list of which one has to be to the patient.
func (h *header) about(v rawjson.Value) {
	if v.Missing() || v == "[]" || v == "{}" {
		return
	}
	h.named++
	for e := v.Elements(); e.Next(); {
		if target := e.Value.Get("reference").Text(); target != "" && h.isPatient(target) {
			h.ours++
			return
		}
	}
}

// isPatient reports whether a reference in the resource at hand is to the patient
// of the call.
func (h *header) isPatient(ref string) bool {
	c, id := h.chart, h.chart.in.Request.PatientID
	if id == "" {
		return true // a chart of nobody; no call is
	}
	switch {
	case strings.HasPrefix(ref, "urn:"):
		it := c.inBundle(h.src, h.item.bundle, ref)
		return it != nil && it.typ == "Patient" && it.raw.Get("id").Text() == id
	case !absolute(ref):
		if h.elsewhere {
			return false
		}
		if rest, ok := strings.CutPrefix(ref, "Patient/"); ok && rest == id {
			return true // nearly always
		}
	}
	local, ok := LocalReference(c.base, ref)
	if !ok {
		return false
	}
	rest, ok := strings.CutPrefix(local, "Patient/")
	return ok && rest == id
}

// inBundle finds the entry of a Bundle by its urn.
func (c *Chart) inBundle(src *Source, bundle int32, urn string) *item {
	if c.urns == nil {
		c.urns = make(map[urnKey]*item)
		for _, s := range c.sources {
			for n := range s.items {
				it := &s.items[n]
				key := urnKey{s, it.bundle, it.fullURL}
				if strings.HasPrefix(it.fullURL, "urn:") && c.urns[key] == nil {
					c.urns[key] = it
				}
			}
		}
	}
	return c.urns[urnKey{src, bundle, urn}]
}

type urnKey struct {
	src    *Source
	bundle int32
	urn    string
}

// isOurs reports whether the resource at hand, read to its end, is shown to be
// about the patient of the call. Drafts are of the patient that the call is about
// unless they name somebody else.
func (h *header) isOurs(r *Resource) bool {
	patient := h.chart.in.Request.PatientID
	switch {
	case patient == "":
		return true
	case h.turned || h.named > h.ours:
		return false
	case r.Type == "Patient":
		return !h.elsewhere && r.ID == patient
	case h.ours > 0:
		return true
	case h.src.Key == DraftsKey:
		return true
	default:
		return aboutNobody(r.Type)
	}
}

// aboutNobody lists the types of resources that are not about a patient: what
// others refer to, and knowledge. Of all others nobody can tell whose they are
// without a member that says so.
func aboutNobody(typ string) bool {
	switch typ {
	case "Medication", "MedicationKnowledge", "Substance", "SubstanceDefinition", "Ingredient",
		"MedicinalProductDefinition", "PackagedProductDefinition", "ManufacturedItemDefinition",
		"AdministrableProductDefinition", "BiologicallyDerivedProduct", "DeviceDefinition", "NutritionProduct",
		"Organization", "Practitioner", "PractitionerRole", "Location", "HealthcareService", "Endpoint",
		"InventoryItem", "InsurancePlan", "PlanDefinition", "ActivityDefinition", "Questionnaire", "Library", "Measure",
		"ValueSet", "CodeSystem", "ConceptMap", "NamingSystem", "StructureDefinition", "SearchParameter",
		"CapabilityStatement", "OperationDefinition", "Binary", "Parameters":
		return true
	default:
		return false
	}
}

// turns reports whether a member turns a resource to another subject than the one
// it names: a fetus, a donor, a device, a relative.
func (h *header) turns(name string, v rawjson.Value) bool {
	if v.Missing() || v == "[]" {
		return false
	}
	if name == "focus" {
		for e := v.Elements(); e.Next(); {
			if target := e.Value.Get("reference").Text(); target == "" || !h.isPatient(target) {
				return true
			}
		}
		return false
	}
	if !strings.Contains(string(v), "ocus") && !strings.Contains(string(v), "ocal") { // nearly always
		return false
	}
	for e := v.Elements(); e.Next(); {
		switch strings.TrimPrefix(e.Value.Get("url").Text(), "http://hl7.org/fhir/StructureDefinition/") {
		case "observation-focusCode", "observation-focal-subject", "hspc-extensionsfocalSubject":
			return true
		}
	}
	return false
}

// serverOf returns the address of the server that a fullUrl says a resource lies
// on, with a trailing slash; ok is false if it is no address, or of no resource
// of the type.
func serverOf(fullURL, typ string) (base string, ok bool) {
	if !strings.HasPrefix(fullURL, "http") {
		return "", false
	}
	at := strings.LastIndex(unversioned(fullURL), "/"+typ+"/")
	if at < 0 {
		return "", false
	}
	return fullURL[:at+1], true
}

// liesElsewhere reports whether an entry says that its resource lies on another server
// than that of the call: what it refers to without a server lies there, too.
func (c *Chart) liesElsewhere(it *item) bool {
	url := it.fullURL
	if c.base == "" || !strings.HasPrefix(url, "http") && !strings.HasPrefix(url, "HTTP") {
		return false
	}
	if rest, ok := strings.CutPrefix(url, c.base); ok && rest != "" && rest[0] == '/' {
		return false // nearly always
	}
	full, ok := CanonicalBase(url)
	rest, here := strings.CutPrefix(full, c.base)
	return !ok || !here || rest != "" && rest[0] != '/'
}
