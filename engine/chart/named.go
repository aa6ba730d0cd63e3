package chart

import "github.com/precept-cds/precept/engine/fact"

// Named points at a resource of any type: what it is about, and its status.
func (r *Resource) Named() fact.Evidence {
	return fact.Evidence{Ref: r.Ref(), What: r.label(), Value: r.Status, Source: r.Source}
}

// Void reports whether a resource says that nothing of the kind is or was: by its
// status, or because it was refuted. What says so by a flag is not in the chart.
func (r *Resource) Void() bool {
	switch r.Status {
	case "not-done", "cancelled", "revoked", "rejected", "cannot-be-obtained":
		return true
	}
	return r.Type == "Condition" && statusCode(r.JSON.Get("verificationStatus"), verifications...) == "refuted"
}
