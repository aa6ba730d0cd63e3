package decide

// What tests outside of the package look into.
var (
	CaseInputs = caseInputs
	StateOf    = stateOf
)
