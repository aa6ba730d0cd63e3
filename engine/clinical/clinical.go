// Package clinical is the library of functions that rules call: questions
// about the chart (fhir.*), logic over the answers (fact.*) and parameters
// (param), bound to the Rego evaluator as built-ins.
//
// The package guarantees that a question always has an answer: a fact that is
// true, false or unknown, or a value that is known, absent or unknown, each
// with reasons and evidence. Data that is missing never reads as normal.
// What was read, and what was looked for and not found, is noted by the
// function that read it, so evidence is observed and not declared.
//
// A [Library] is one version of the functions, and several live in one program.
// A pack names the major version it needs, and an activation the exact version
// it was approved with; a node without it refuses. Any change that can change
// an answer makes another version. Everything that is known of a function
// is in one [Function], and a call that does more than that says fails.
package clinical

import "errors"

var errNoOrder = errors.New("this rule is asked about the patient, so there is no order; give it an order trigger")
