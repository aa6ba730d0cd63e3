package clinical

import (
	"fmt"
	"strings"
	"testing"
)

// TestUnifyingIsRefused holds that a pack cannot have the evaluator unify two values
// that may have any number of parts, however it spells that.
func TestUnifyingIsRefused(t *testing.T) {
	for _, tt := range []struct{ code, want string }{
		{"x if [1] = [1]", "= unifies"},
		{"x if { 1 = 1 }", "= unifies"},
		{"x if { some y in [1]; y = 1 }", "= unifies"},
		{"x := [y | y = 1]", "= unifies"},
		{"x if { every y in [1] { y = 1 } }", "= unifies"},
		{"x if not 1 = 2", "= unifies"},
		{"f(x, x) := x", "x stands twice among the arguments"},
		{"f(x, [x, _]) := x", "x stands twice among the arguments"},
		{`f({"a": x, "b": [x]}) := x`, "x stands twice among the arguments"},
		{"f(_, _) := 1", ""},
		{"s contains [1, 2]", ""},
		{`s contains "x"`, ""},
		{"s contains x if some x in [1, 2]", ""},
		{"s contains x if { x := [y | some y in [1, 2]] }", "the members of s may have any number of parts"},
		{"s contains object.get({}, \"x\", 1)", "the members of s may have any number of parts"},
		{"o[x] := 1 if { x := [y | some y in [1, 2]] }", "the members of o may have any number of parts"},
		{`o[x] := 1 if some x in ["a", "b"]`, ""},
		{"x if { y := [1]; y == [1] }", ""},
		{"x := [1] == [1]", ""},
	} {
		pack := rulePack("p", "1", "fact.all([])")
		for i, f := range pack.Rules {
			pack.Rules[i].Data = append(append([]byte(nil), f.Data...), "\n\n"+tt.code+"\n"...)
		}
		_, err := Newest().ReadCode(pack)
		if tt.want == "" && err != nil || tt.want != "" && !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %v, want %q", tt.code, err, tt.want)
		}
	}
}
