# METADATA
# scope: package
# title: Potassium is above the limit for spironolactone
# description: The newest potassium of the last 90 days is above 5.0 mmol/L.
# authors:
# - Your organisation
# related_resources:
# - ref: https://example.org
#   description: Replace this by the source of your rule
# custom:
#   id: potassium-high
#   hooks: [order-sign]
#   trigger: {order: spironolactone}
#   severity: warning
#   unknown: info
#   override_reasons: [will-monitor, data-outdated]
package packs.PACKNAME.potassium_high

potassium := fhir.lab({"set": "potassium", "unit": "mmol/L", "max_age": param("potassium_max_age")})

holds := fact.greater(potassium, 5)

card := {
	"summary": fhir.text("Check {drug}: potassium {potassium}", {"drug": fhir.order(), "potassium": potassium}),
	"suggestions": [fhir.remove(fhir.order())],
}
