package clinical

import (
	"fmt"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/engine/fact"
)

// decimalWords are the decimals that a rule may declare.
var decimalWords = []string{"0", "1", "2", "3", "4", "5", "6"}

// valueArithmetic computes with values, never with the chart.
func valueArithmetic() []Function {
	v, w := Argument{"v", typeValue}, Argument{"w", typeValue}
	decimals := Option{Name: "decimals", Kind: KindEnum, Words: decimalWords, Required: true,
		Doc: "to which the result is rounded, half up, before anything is compared"}
	result := []Option{decimals,
		{Name: "name", Kind: KindCode, Required: true, Doc: "what the result is, in words"},
		{Name: "unit", Kind: KindUnit, Required: true, Doc: "UCUM code of its unit"}}
	of := func(name, doc, unknown string, run implementation, options []Option, args ...Argument) Function {
		return Function{Name: name, Doc: doc, Unknown: unknown, Options: options, Args: args, Result: typeValue,
			Reads: None(), Attributes: None(), Run: run}
	}
	const open = "one of them is not known"
	exact := func(f Function) Function {
		f.Exact = true
		return f
	}
	return []Function{
		exact(of("fact.number", "a value of a number that the rule has", "", numberValue, result[1:],
			Argument{"n", typeNumber})),
		of("fact.round", "v, rounded: both ends of an interval", "v is", round, []Option{decimals}, v),
		of("fact.add", "v + w, both converted to `unit`", open+", or in a unit that cannot be converted",
			calculate(fact.Add), result, v, w),
		of("fact.subtract", "v − w, both converted to `unit`", open+", or in a unit that cannot be converted",
			calculate(fact.Subtract), result, v, w),
		of("fact.multiply", "v × w, in the units that they have: `unit` says what that gives", open,
			calculate(fact.Multiply), result, v, w),
		of("fact.divide", "v ÷ w, in the units that they have: `unit` says what that gives",
			open+", or w may be zero or less", calculate(fact.Divide), result, v, w),
		{
			Name: "fact.compare", Doc: "v is `less`, `less_equal`, `greater` or `greater_equal` than w, in the same unit",
			Unknown: open + ", their units differ and cannot be converted, or their intervals overlap",
			Options: []Option{{Name: "is", Kind: KindEnum, Required: true,
				Words: []string{"less", "less_equal", "greater", "greater_equal"}, Doc: "how v is to be"}},
			Args: []Argument{v, w}, Result: typeFact, Reads: None(), Attributes: None(), Run: relate,
		},
	}
}

func (c *Call) decimals() int32 {
	n, err := strconv.ParseInt(c.text("decimals"), 10, 32)
	must(0, err) // one of the words
	return int32(n)
}

func (s *Session) two(c *Call) (v, w *fact.Value, err error) {
	if v, err = s.value(c.args[0]); err == nil {
		w, err = s.value(c.args[1])
	}
	if err == nil {
		err = s.useCost(len(v.Evidence) + len(w.Evidence))
	}
	return v, w, err
}

func numberValue(s *Session, c *Call) (*ast.Term, error) {
	n, err := s.number(c.args[0])
	if err != nil {
		return nil, err
	}
	return s.newValue(&fact.Value{State: fact.Known, Name: c.text("name"), Unit: c.text("unit"), Low: n, High: n})
}

func round(s *Session, c *Call) (*ast.Term, error) {
	v, err := s.value(c.args[0])
	if err != nil {
		return nil, err
	}
	return s.newValue(fact.Round(v, c.decimals()))
}

func calculate(op fact.Operation) implementation {
	return func(s *Session, c *Call) (*ast.Term, error) {
		v, w, err := s.two(c)
		if err != nil {
			return nil, err
		}
		unit := c.text("unit")
		if op == fact.Add || op == fact.Subtract {
			v, w = inUnit(v, unit), inUnit(w, unit)
		}
		r := fact.Calculate(op, v, w, c.text("name"), unit, c.decimals())
		s.limitEvidence(r)
		return s.newValue(r)
	}
}

// limitEvidence counts what is more than a value may name.
func (s *Session) limitEvidence(v *fact.Value) {
	if most := s.lib.library.bounds.Evidence; len(v.Evidence) > most {
		v.Evidence, v.More = v.Evidence[:most:most], v.More+len(v.Evidence)-most
	}
}

// inUnit converts a value within one dimension; unknown if it cannot be.
func inUnit(v *fact.Value, unit string) *fact.Value {
	if v.Unit == unit {
		return v
	}
	c := *v
	c.Unit = unit
	if v.Older != nil {
		if c.Older = inUnit(v.Older, unit); c.Older.State != fact.Known {
			c.Older = nil
		}
	}
	if v.State != fact.Known {
		return &c
	}
	var err error
	if v.Low != nil {
		c.Low, err = units.Convert(v.Low, v.Unit, unit, "")
	}
	if v.High != nil && err == nil {
		c.High, err = units.Convert(v.High, v.Unit, unit, "")
	}
	if err != nil {
		c.State, c.Low, c.High, c.LowOpen, c.HighOpen = fact.PresenceUnknown, nil, nil, false, false
		c.Reasons = []fact.Reason{{Code: fact.UnitUnconvertible, What: v.Name}}
	}
	return &c
}

func relate(s *Session, c *Call) (*ast.Term, error) {
	v, w, err := s.two(c)
	if err != nil {
		return nil, err
	}
	how, ok := map[string]fact.Comparison{"less": fact.Less, "less_equal": fact.LessEqual,
		"greater": fact.Greater, "greater_equal": fact.GreaterEqual}[c.text("is")]
	if !ok {
		return nil, fmt.Errorf("there is no comparison %q", c.text("is"))
	}
	f := fact.Relate(v, how, inUnit(w, v.Unit))
	f.Values[1] = w
	return s.newFact(c, f)
}
