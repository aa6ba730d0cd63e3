package clinical

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/chart/units"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// TestOptionsWhereRead is what is wrong with a call where its pack is read, and
// what to write instead. Every problem names its line.
func TestOptionsWhereRead(t *testing.T) {
	lab := func(options string) string { return `fact.lacking(fhir.lab({` + options + `}))` }
	for _, tt := range []struct{ holds, want string }{
		{lab(`"set": "potassium", "unit": "mmol/L", "max_age": "P90D"`), ""},
		{`fhir.takes({"set": "warfarin", "within": param("days"), "by": param("start"), "systemic": param("yes"), "drafts": false})`, ""},

		// value sets
		{`fhir.takes({"set": "warfarn"})`, `value set "warfarn" is not in the pack (write warfarin)`},
		{`fhir.takes({"set": "insulin"})`,
			`value set "insulin" is not in the pack (add valuesets/insulin.json, or use warfarin)`},
		{`fhir.takes({"set": "potassium"})`,
			`value set "potassium" is of kind observation, and fhir.takes takes medication (use warfarin)`},
		{`fhir.condition({"set": "warfarin"})`,
			`value set "warfarin" is of kind medication, and fhir.condition takes condition (use bleed)`},
		{`fhir.order_in({"set": "bleed"})`,
			`value set "bleed" is of kind condition, and fhir.order_in takes medication or service (use warfarin)`},
		{`fhir.takes({"set": ""})`,
			`option "set" of fhir.takes must be a string that is not empty (write the id of a value set of the pack)`},
		{`fhir.takes({"set": 7})`, `option "set" of fhir.takes must be a string`},
		{`fhir.takes({"set": null})`, `option "set" of fhir.takes must be a string`},
		{`fhir.takes({"set": param("free")})`, `option "set" of fhir.takes must be a literal (write the id`},
		{`fhir.takes({"set": concat("", ["warfarin"])})`,
			`option "set" of fhir.takes must be a literal (write the id`},
		{`fhir.takes({"set": ["warfarin"]})`, `option "set" of fhir.takes must be a literal (write the id`},

		// durations
		{`fhir.takes({"set": "warfarin", "within": "14 days"})`,
			`option "within" of fhir.takes must be a duration, not "14 days" (write "P365D", "P1Y" or "PT24H")`},
		{`fhir.takes({"set": "warfarin", "within": "P90d"})`, `must be a duration, not "P90d" (write "P90D")`},
		{`fhir.takes({"set": "warfarin", "within": "90D"})`, `must be a duration, not "90D" (write "P90D")`},
		{`fhir.takes({"set": "warfarin", "within": "P12H"})`, `must be a duration, not "P12H" (write "PT12H")`},
		{`fhir.takes({"set": "warfarin", "within": "P1.5D"})`, `must be a duration, not "P1.5D"`},
		{`fhir.takes({"set": "warfarin", "within": "P200000D"})`, `must be a duration, not "P200000D"`},
		{`fhir.takes({"set": "warfarin", "within": "P1Y2W"})`, ""},
		{`fhir.takes({"set": "warfarin", "within": "P0D"})`,
			`option "within" of fhir.takes must be longer than nothing`},
		{`fhir.takes({"set": "warfarin", "within": 14})`,
			`option "within" of fhir.takes must be a string that is not empty`},
		{`fhir.takes({"set": "warfarin", "within": input.x})`,
			`option "within" of fhir.takes must be a literal or param("name")`},
		{`fhir.takes({"set": "warfarin", "within": param("free")})`,
			`option "within" of fhir.takes needs a parameter of format duration (add format: duration to it in pack.yaml)`},
		{`fhir.takes({"set": "warfarin", "within": param("limit")})`, `needs a parameter of type string`},
		{`fhir.takes({"set": "warfarin", "within": "P200000D"})`, `must be a duration, not "P200000D"`},
		{`fhir.takes({"set": "warfarin", "within": param("nothing")})`,
			`must be longer than nothing: so says the default or the enum of the parameter`},
		{`fhir.takes({"set": "warfarin", "within": param("none")})`, `parameter "none" is not declared in pack.yaml`},

		// units
		{lab(`"set": "potassium", "unit": "mmol/l", "max_age": "P90D"`),
			`option "unit" of fhir.lab must be a unit that values can be had in, not "mmol/l" (write "mmol/L")`},
		{lab(`"set": "potassium", "unit": "mEq/L", "max_age": "P90D"`), `not "mEq/L" (write "meq/L")`},
		{lab(`"set": "potassium", "unit": "mmol", "max_age": "P90D"`),
			`not "mmol" (write a UCUM code such as "mmol/L", "mg/dL" or "%")`},
		{lab(`"set": "potassium", "unit": "10*9/L", "max_age": "P90D"`), ""},
		{lab(`"set": "potassium", "unit": param("units"), "max_age": "P90D"`),
			`must be a unit that values can be had in, not "mmol": so says the default or the enum of the parameter`},
		{lab(`"set": "potassium", "unit": param("free"), "max_age": "P90D"`),
			`needs a parameter that lists its values (add enum to it in pack.yaml)`},

		// words
		{`fhir.takes({"set": "warfarin", "within": "P14D", "by": "end"})`,
			`option "by" of fhir.takes must be "start", not "end" (write "start")`},
		{`fhir.takes({"set": "warfarin", "by": "start"})`,
			`option "by" of fhir.takes goes with "within" (add within)`},
		{`fhir.takes({"set": "warfarin", "within": "P14D", "by": param("free")})`,
			`needs a parameter that lists its values`},
		{`fact.less(fhir.age({"unit": "m"}), 2)`,
			`option "unit" of fhir.age must be "a" or "mo" or "wk" or "d", not "m" (write "a"`},

		// flags
		{`fhir.takes({"set": "warfarin", "systemic": "true"})`,
			`option "systemic" of fhir.takes must be true or false (write it without quotes)`},
		{`fhir.takes({"set": "warfarin", "systemic": 1})`, `option "systemic" of fhir.takes must be true or false`},
		{`fhir.takes({"set": "warfarin", "systemic": param("days")})`,
			`option "systemic" of fhir.takes needs a parameter of type boolean`},

		// names of options
		{lab(`"set": "potassium", "unit": "mmol/L"`),
			`option "max_age" of fhir.lab is required (add "P365D", "P1Y" or "PT24H")`},
		{`fhir.takes({})`, `option "set" of fhir.takes is required`},
		{`fhir.takes({"set": "warfarin", "windin": "P14D"})`,
			`fhir.takes has no option "windin"; it has ` + strings.Join(takesOptions, ", ") + ` (write within)`},
		{`fhir.takes({"set": "warfarin", 7: "P14D"})`, `fhir.takes has no option 7; it has set`},
		{`fhir.takes("warfarin")`, `the options of fhir.takes must be a literal object`},

		// arguments, and what goes where
		{`fact.named(concat("", ["x"]), fact.all([]))`, `argument 1 of fact.named must be a literal string`},
		{`fact.less(fhir.age({"unit": "a"}), param("days"))`,
			`fact.less needs a number, and the parameter days is of type string`},
		{`fact.less(fhir.age({"unit": "a"}), param("limit"))`, ""},
		{`fact.all([x | x := fact.all([]); fact.is(x, "maybe")])`,
			`a fact is never "maybe" (write "true", "false" or "unknown")`},
		{`fact.all([x | x := fact.all([]); fact.is(x, "true")])`, `fact.is is only for the wording of cards`},
		{`fact.negate({"fact": 0})`, `want a fact made by a built-in of this evaluation, not a written-down one`},
		{`fact.any([fact.all([]), {"fact": 0}])`, `want a fact made by a built-in`},
		{`fact.less({"value": 0}, 1)`, `want a value made by a built-in`},
		{`fhir.topical({"order": 0})`, `want an order made by a built-in`},
		{`{"fact": 0}`, `want a fact made by a built-in`},
		{`fact.all([]) if 1 == 2 else := {"fact": 0}`, `want a fact made by a built-in`},
		{`fact.al([])`, `undefined function fact.al (write fact.all)`},
		{`fact.before({"date": 0}, fhir.now())`, `want a date made by a built-in`},
		{`fact.less(fhir.now(), 2)`, `invalid argument`},
		{`fact.before(fhir.now(), fhir.age({"unit": "a"}))`, `invalid argument`},
		{`fact.lacking(fhir.today())`, ""},
		{`fact.lacking(fhir.age({"unit": "a"}))`, ""},
		{`fact.lacking(fact.all([]))`, `invalid argument`},
		{`fhir.prescribed({"set": "warfarin"})`, `undefined function fhir.prescribed (there are fhir.now, `},
		{`fact.all([x | x := fact.all([]) with input as {}])`, `with is not allowed`},
	} {
		_, err := Newest().ReadCode(rulePack("p", "1", tt.holds))
		problems, _ := errors.AsType[Problems](err)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.holds, err)
		case tt.want != "" && !strings.Contains(fmt.Sprint(err), tt.want):
			t.Errorf("%s: %v, want %q", tt.holds, err, tt.want)
		}
		for _, p := range problems {
			if p.File != "rules/r.rego" || p.Line != 12 {
				t.Errorf("%s: %v is at %s:%d", tt.holds, p, p.File, p.Line)
			}
		}
	}
}

// TestLineOfAnOption holds that a problem is reported where the option is,
// and that a call reports all that is wrong with it.
func TestLineOfAnOption(t *testing.T) {
	_, err := Newest().ReadCode(rulePack("p", "1",
		"fact.lacking(fhir.lab({\n\t\"set\": \"potassium\",\n\t\"unit\": \"mmol\",\n\t\"max_age\": \"90 days\",\n}))"))
	got := fmt.Sprint(err)
	if !strings.Contains(got, `rules/r.rego:14: option "unit"`) ||
		!strings.Contains(got, `rules/r.rego:15: option "max_age"`) {
		t.Errorf("%v", err)
	}
}

// TestNamesOfTheLibrary holds that a pack cannot hide the library behind names
// of its own, and that a rule about the patient cannot ask about the order.
func TestNamesOfTheLibrary(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"holds :=", "fact := 1\n\nholds :=", "rules/r.rego:12: fact is a name of the library"},
		{"holds :=", "param(x) := x\n\nholds :=", "rules/r.rego:12: param is a name of the library"},
		{"holds :=", "import data.packs.p.other as fhir\n\nholds :=",
			"rules/r.rego:12: fhir is a name of the library"},
		{"{order: warfarin}", "{patient: true}",
			"rules/r.rego:12: fhir.order_in needs an order, and rule p/r is asked about the patient"},
		{"{order: warfarin}", "{order: bleed}",
			`rules/r.rego:1: trigger names value set "bleed" of kind condition, and orders are of kind medication or service`},
	} {
		pack := rulePack("p", "1", `fhir.order_in({"set": "warfarin"})`)
		pack.Rules[0].Data = []byte(strings.Replace(string(pack.Rules[0].Data), tt.from, tt.to, 1))
		if _, err := Newest().ReadCode(pack); !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %v, want %q", tt.to, err, tt.want)
		}
	}
}

// TestWordingDecidesNothing holds that what says of an unknown fact that it is
// unknown cannot make a rule hold or not, by whatever name it is reached.
func TestWordingDecidesNothing(t *testing.T) {
	for _, tt := range []struct{ rules, want string }{
		{`card_known if fact.is(above, "true")

holds := above if card_known
else := fact.negate(above)`, "rules/r.rego:15: holds of rule p/r reaches fact.is"},
		{`said := fhir.text("{v}", {"v": potassium})

holds := above if said != "unknown"
else := fact.negate(above)`, "rules/r.rego:15: holds of rule p/r reaches fhir.text"},
		{`card_words(x) := fhir.text("{v}", {"v": x})

holds := fact.all([f | some f in [above]; contains(card_words(f),
	"a")])`, "rules/r.rego:15: holds of rule p/r reaches fhir.text"},
		{`card_known if fact.is(above, "true")

known := x if {
	card_known
	x := above
} else := fact.negate(above)

holds := data.packs.p.r[name] if name := "known"`, "rules/r.rego:15: holds of rule p/r reaches fact.is"},
		{`card_other := potassium if fact.is(above, "true")

said := fhir.text("{v}", {"v": card_other})

holds := above`, ""},
	} {
		pack := rulePack("p", "1", "")
		pack.Rules[0].Data = []byte(strings.Replace(string(pack.Rules[0].Data), "holds := ",
			`potassium := fhir.lab({"set": "potassium", "unit": "mmol/L", "max_age": "P1D"})
above := fact.greater(potassium, 5)

`+tt.rules, 1))
		_, err := Newest().ReadCode(pack)
		if tt.want == "" && err != nil || tt.want != "" && !strings.Contains(fmt.Sprint(err), tt.want) ||
			err != nil && !strings.Contains(err.Error(), "let holds be made of facts by fact.all") {
			t.Errorf("%s: %v, want %q", tt.rules, err, tt.want)
		}
	}
}

// TestBind holds that what a tenant sets is checked against the options that it
// stands for, not only against the parameter.
func TestBind(t *testing.T) {
	code, err := Newest().ReadCode(rulePack("p", "1", `fhir.takes({"set": "warfarin", "within": param("days")})`))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		`"P30D"`: "",
		`"P0D"`:  `setting parameter days of pack p: as option within of fhir.takes it must be longer than nothing`,
		`"soon"`: "setting parameter days", `30`: "setting parameter days",
	} {
		_, err := code.Bind(map[string]jsontext.Value{"days": jsontext.Value(value)})
		if (err == nil) != (want == "") || err != nil &&
			(!strings.Contains(err.Error(), want) || !errors.Is(err, manifest.ErrParameter)) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	if _, err := code.Bind(map[string]jsontext.Value{"day": jsontext.Value(`"P30D"`)}); err == nil {
		t.Error("a parameter that the pack does not have was set")
	}
}

// FuzzOption holds that an option is read the same way where a pack is read and
// where it is called, and as the packages that own the grammars read it.
func FuzzOption(f *testing.F) {
	for _, text := range []string{"P90D", "P0D", "PT24H", "P1Y2W", "mmol/L", "mmol/l", "start", "", "warfarin", "\x00",
		"P99999999999D", "é\xff"} {
		f.Add(text)
	}
	pack, err := nsaids().Bind(nil)
	if err != nil {
		f.Fatal(err)
	}
	options := []Option{{Name: "o", Kind: KindDuration}, {Name: "o", Kind: KindUnit},
		{Name: "o", Kind: KindEnum, Words: []string{"start", "end"}},
		{Name: "o", Kind: KindFlag}, {Name: "o", Kind: KindCode}, {Name: "o", Kind: KindText}}
	for i := range options {
		options[i].Doc, options[i].Param = "d", true
	}
	libraries := make([]*Library, len(options))
	for i, o := range options {
		f := Function{Name: "fhir.asked", Doc: "d", Options: []Option{o}, Result: typeAny, Reads: None(),
			Attributes: None(), Run: func(_ *Session, c *Call) (*ast.Term, error) {
				return ast.StringTerm(c.text("o") + fmt.Sprint(c.duration("o"))), nil
			}}
		if libraries[i], err = Newest().With("9.0.0", f); err != nil {
			panic(err)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		written, err := jsontext.AppendQuote(nil, text)
		if err != nil {
			return // not UTF-8, which no pack holds
		}
		for i, o := range options {
			s := asked{new(Sessions).Start(nil, "en"), t}
			s.Ask(&Pack{library: libraries[i], sets: pack.sets}, nil)
			got, callErr := s.run(libraries[i].byName["fhir.asked"], nil,
				[]*ast.Term{ast.ObjectTerm(ast.Item(ast.StringTerm("o"), ast.StringTerm(text)))})
			holds := `fact.all([x | x := fact.all([]); fhir.asked({"o": ` + string(written) + `}) == ""])`
			_, readErr := libraries[i].ReadCode(rulePack("p", "9", holds))
			if (callErr == nil) != (readErr == nil) {
				t.Fatalf("%s %q: read %v, called %v", o.Kind, text, readErr, callErr)
			}
			var want bool
			switch d, err := dates.ParseDuration(text); o.Kind {
			case KindDuration:
				if want = err == nil && d != (dates.Duration{}); want &&
					!strings.Contains(got.String(), fmt.Sprint(d)) {
					t.Fatalf("%q is read as %s, want %v", text, got, d)
				}
			case KindUnit:
				code, ok := units.Known(text)
				want = ok && code == text
			case KindEnum:
				want = text == "start" || text == "end"
			case KindCode, KindText:
				want = text != ""
			}
			if (callErr == nil) != want {
				t.Fatalf("%s %q: %v", o.Kind, text, callErr)
			}
		}
	})
}

// FuzzReadCode holds that whatever an author writes is read or refused, with a
// place.
func FuzzReadCode(f *testing.F) {
	for _, holds := range []string{
		`fhir.takes({"set": "warfarin"})`, `fact.named("x", fhir.condition({"set": "bleed", "ever": true}))`,
		`fhir.takes()`, `fhir.takes({}, x)`, `param()`, `param("days", x)`,
		`fhir.text("{a}", {"a": 1})`, `fhir.text()`, `fact.is(1)`, `fact := 1`, `{"a": fhir.takes}`,
		`fhir["takes"]({"set": "warfarin"})`, `fhir[x]({})`,
		`fact.less(fhir.age({"unit": param("x")}), param("limit"))`,
		"1 if { some x in [1]; fact.is(x, \"maybe\") } else := 2", "holds\n\nfact[x] := 1 if x := 2",
		`[fhir.lab({x: y}) | x := "set"]`,
	} {
		f.Add(holds)
	}
	f.Fuzz(func(t *testing.T, holds string) {
		code, err := Newest().ReadCode(rulePack("p", "1", holds))
		if err == nil {
			if _, err := code.Bind(nil); err != nil {
				t.Fatalf("what is read cannot be bound: %v", err)
			}
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 {
			t.Fatalf("%v is not a list of problems", err)
		}
		for _, p := range problems {
			if p.File == "" || p.Text == "" {
				t.Fatalf("%+v has no place or no text", p)
			}
		}
	})
}

var takesOptions = Newest().byName["fhir.takes"].optionNames()
