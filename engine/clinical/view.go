package clinical

import (
	"fmt"
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// The source attributes that functions depend on, as pack.yaml names them.
const (
	attributeSex    = "sex"
	attributeAge    = "age"
	attributeHealth = "health_status"
)

// view is the chart as functions see it. Every look notes what was looked
// into, so that no function reads more than it says: prefetch, and the source
// attributes that a pack declares, are derived from what it says.
type view struct {
	of         *chart.Chart // functions look into it only through the methods below
	types      []string     // looked into by the call under way
	attributes []string
}

func (v *view) look(attribute string, types ...string) {
	v.types = append(v.types, types...)
	v.attributes = append(v.attributes, attribute)
}

func (v *view) begin() { v.types, v.attributes = v.types[:0], v.attributes[:0] }

// stray says what the call looked into that its function does not say.
func (v *view) stray(f *Function, types []string) error {
	for _, t := range v.types {
		if !slices.Contains(types, t) {
			return fmt.Errorf("it looked into %s, which its description does not say", t)
		}
	}
	for _, a := range v.attributes {
		if !slices.Contains(f.Attributes, a) {
			return fmt.Errorf("it depends on the source attribute %s, which its description does not say", a)
		}
	}
	return nil
}

// count returns how many resources there are of some types.
func (v *view) count(types []string) (n int) {
	for _, t := range types {
		n += v.of.Count(t)
	}
	return n
}

func (v *view) now() time.Time { return v.of.Now() }

// zone is that of the tenant, which needs no chart.
func (v *view) zone() *time.Location { return v.of.Zone() }

// patientID is that of the call, which needs no chart.
func (v *view) patientID() string { return v.of.Request().PatientID }

// patient returns the patient, for the sake of one attribute.
func (v *view) patient(attribute string) (*chart.Patient, []fact.Reason) {
	v.look(attribute, "Patient")
	return v.of.Patient()
}

func (v *view) conditions() []*chart.Resource {
	v.look(attributeHealth, "Condition")
	return v.of.Resources("Condition")
}

func (v *view) condition(r *chart.Resource) *chart.Condition { return v.of.Condition(r) }

func (v *view) observations(codes []chart.Coding) []*chart.Resource {
	v.look(attributeHealth, "Observation")
	return v.of.Find("Observation", codes...)
}

func (v *view) components(codes []chart.Coding) []*chart.Observation {
	v.look(attributeHealth, "Observation")
	return v.of.Components(codes...)
}

// unnamed returns what words call the analyte, under a code that is not known.
func (v *view) unnamed(a units.Analyte) []*chart.Observation {
	v.look(attributeHealth, "Observation")
	return v.of.Unnamed(a)
}

func (v *view) observation(r *chart.Resource) *chart.Observation { return v.of.Observation(r) }

// target returns what a client finds an order by, if there is such a name.
func (v *view) target(o *chart.Order) (string, bool) { return v.of.Target(o) }

// exposureTypes are the resources that say what a patient takes.
var exposureTypes = []string{
	"MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration",
}

func (v *view) exposures() []*chart.Exposure {
	v.look(attributeHealth, exposureTypes...)
	return v.of.Exposures()
}

// held is what came under a prefetch key.
func (v *view) held(key string) (chart.Completeness, int) { return v.of.Held(key) }

// whole reports whether all sources of the call came whole. It says nothing of what is in them.
func (v *view) whole() bool { return v.of.Whole() }

// resources are those of a type, for the sake of what they are about.
func (v *view) resources(typ string) []*chart.Resource {
	v.look(attributeHealth, typ)
	return v.of.Resources(typ)
}

// complete reports whether what is not there of these types is not there at all.
func (v *view) complete(types ...string) (bool, []fact.Reason) {
	v.look(attributeHealth, types...)
	return v.of.Complete(types...)
}

// leftOut adds what came of these types and does not count to evidence, of which
// there may be so many.
func (v *view) leftOut(list []fact.Evidence, more, most int, types ...string) ([]fact.Evidence, int) {
	v.look(attributeHealth, types...)
	out, others := v.of.LeftOut(max(most-len(list), 0), types...)
	return append(list, out...), more + others
}
