package clinical

// cvxSystem is the code system of vaccines administered in the US.
const cvxSystem = "http://hl7.org/fhir/sid/cvx"
