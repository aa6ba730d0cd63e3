package clinical

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/fact"
)

// states counts the states that answers of functions had in tests with fixed charts.
var states = struct {
	sync.Mutex
	seen   map[string]map[string]int
	paused atomic.Bool // while charts and questions are drawn at random
}{seen: map[string]map[string]int{}}

// TestMain watches every function of the library and tells at the end which states its
// answers had. A run of all tests fails if a state that a description allows was never
// seen, or one that it rules out was.
func TestMain(m *testing.M) {
	for _, f := range Newest().functions {
		run, name, result := f.Run, f.Name, f.Result
		f.Run = func(s *Session, c *Call) (*ast.Term, error) {
			t, err := run(s, c)
			if err == nil && !states.paused.Load() {
				note(name, statesOf(s, t, result))
			}
			return t, err
		}
	}
	code := m.Run()
	whole := true
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz"} {
		whole = whole && flag.Lookup(name).Value.String() == ""
	}
	if code == 0 && whole && !testing.Short() {
		table, wrong := tableOfStates()
		fmt.Print(table)
		if len(wrong) > 0 {
			fmt.Println("FAIL: " + strings.Join(wrong, "\nFAIL: "))
			code = 1
		}
	}
	os.Exit(code)
}

func note(name string, had []string) {
	states.Lock()
	defer states.Unlock()
	if states.seen[name] == nil {
		states.seen[name] = map[string]int{}
	}
	for _, state := range had {
		states.seen[name][state]++
	}
}

// statesOf names the states of one answer.
func statesOf(s *Session, t *ast.Term, result Type) []string {
	switch result {
	case typeFact:
		if f, err := s.fact(t); err == nil {
			return []string{f.State.String()}
		}
	case typeValue, typeDate:
		v, err := s.valueOrDate(t)
		switch {
		case err != nil:
		case v.State == fact.Known && !v.Exact():
			return []string{"known", "interval"}
		default:
			return []string{v.State.String()}
		}
	}
	return nil
}

// possible names the states that the answers of a function may have.
func possible(f *Function) (list []string) {
	switch f.Result {
	case typeFact:
		list = []string{"true", "false"}
	case typeValue, typeDate:
		if list = []string{"known"}; f.Absent != "" {
			list = append(list, "absent")
		}
		if !f.Exact {
			list = append(list, "interval")
		}
	default:
		return nil
	}
	if f.Unknown != "" {
		list = append(list, "unknown")
	}
	return list
}

// tableOfStates writes how often each state occurred, and says which should have and did
// not, or should not have and did.
func tableOfStates() (table string, wrong []string) {
	columns := []string{"true", "false", "known", "absent", "interval", "unknown"}
	var b strings.Builder
	fmt.Fprintf(&b, "states of answers in tests:\n%-26s", "")
	for _, c := range columns {
		fmt.Fprintf(&b, "%9s", c)
	}
	b.WriteString("\n")
	for _, f := range Newest().functions {
		may := possible(&f.Function)
		if may == nil {
			continue
		}
		fmt.Fprintf(&b, "%-26s", f.Name)
		for _, c := range columns {
			n, allowed := states.seen[f.Name][c], slices.Contains(may, c)
			switch {
			case allowed && n == 0:
				wrong = append(wrong, fmt.Sprintf("no test has seen %s be %s", f.Name, c))
			case !allowed && n > 0:
				wrong = append(wrong, fmt.Sprintf("%s was %s, which its description rules out", f.Name, c))
			}
			if allowed || n > 0 {
				fmt.Fprintf(&b, "%9d", n)
			} else {
				fmt.Fprintf(&b, "%9s", "-")
			}
		}
		b.WriteString("\n")
	}
	return b.String(), wrong
}
