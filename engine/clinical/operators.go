package clinical

import "github.com/open-policy-agent/opa/v1/ast"

// ShortenOperators gives every call of the library in compiled code an
// operator of one part, "fhir.takes" for ["fhir", "takes"]: the evaluator then
// need not join the parts at every call. Names stay what they are.
func ShortenOperators(c *ast.Compiler) {
	short := map[string]*ast.Term{}
	for _, b := range library() {
		short[b.name] = ast.NewTerm(ast.Ref{ast.VarTerm(b.name)})
	}
	for _, m := range c.Modules {
		ast.WalkExprs(m, func(x *ast.Expr) bool {
			if terms, ok := x.Terms.([]*ast.Term); ok && len(terms) > 0 {
				if op := short[terms[0].String()]; op != nil {
					terms[0] = op
				}
			}
			return false
		})
	}
}
