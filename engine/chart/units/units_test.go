package units

import (
	"errors"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

func num(t *testing.T, literal string) *apd.Decimal {
	t.Helper()
	d, err := ParseNumber(literal)
	if err != nil {
		t.Fatalf("ParseNumber(%q): %v", literal, err)
	}
	return d
}

func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name     string
		literal  string
		q        Quantity
		to       string
		analyte  Analyte
		low      string
		high     string
		lo, ho   bool
		want     error
		rounding int32 // digits after the point to compare, 0 compares exactly
	}{
		{name: "same unit keeps digits", literal: "1.50", q: Quantity{Code: "mg/dL", System: UCUM}, to: "mg/dL",
			low: "1.50", high: "1.50"},
		{name: "umol to mg", literal: "88.42", q: Quantity{Code: "umol/L", System: UCUM}, to: "mg/dL",
			analyte: Creatinine, low: "1", high: "1"},
		{name: "mg to umol", literal: "1.0", q: Quantity{Code: "mg/dL", System: UCUM}, to: "umol/L",
			analyte: Creatinine, low: "88.42", high: "88.42"},
		{name: "221 umol", literal: "221", q: Quantity{Unit: "µmol/L"}, to: "mg/dL", analyte: Creatinine,
			low: "2.4994", high: "2.4994", rounding: 4},
		{name: "no analyte", literal: "221", q: Quantity{Code: "umol/L", System: UCUM}, to: "mg/dL", want: ErrUnit},
		{name: "wrong analyte", literal: "4", q: Quantity{Code: "mmol/L", System: UCUM}, to: "mg/dL",
			analyte: Potassium, want: ErrUnit},
		{name: "meq", literal: "4.1", q: Quantity{Code: "meq/L", System: UCUM}, to: "mmol/L", analyte: Potassium,
			low: "4.1", high: "4.1"},
		{name: "scaling needs no analyte", literal: "10", q: Quantity{Code: "mg/L", System: UCUM}, to: "mg/dL",
			low: "1", high: "1"},
		{name: "code wins over text nobody knows", literal: "1", q: Quantity{Unit: "Units", Code: "g/L", System: UCUM},
			to: "mg/dL", low: "100", high: "100"},
		{name: "code and text contradict", literal: "5", q: Quantity{Unit: "mg/dL", Code: "umol/L", System: UCUM},
			to: "mg/dL", analyte: Creatinine, want: ErrUnit},
		{name: "code and text of another size", literal: "1", q: Quantity{Unit: "mg/dL", Code: "g/L", System: UCUM},
			to: "mg/dL", want: ErrUnit},
		{name: "code and text of one size", literal: "4.1", q: Quantity{Unit: "mEq/L", Code: "mmol/L", System: UCUM},
			to: "mmol/L", analyte: Potassium, low: "4.1", high: "4.1"},
		{name: "two names of one unit", literal: "3", q: Quantity{Unit: "ng/mL", Code: "ug/L", System: UCUM},
			to: "ug/L", low: "3", high: "3"},
		{name: "unknown code wins over known text", literal: "1",
			q: Quantity{Unit: "mg/dL", Code: "furlong", System: UCUM}, to: "mg/dL", want: ErrUnit},
		{name: "text only", literal: "1", q: Quantity{Unit: "MG/DL"}, to: "mg/dL", low: "1", high: "1"},
		{name: "code without system", literal: "1", q: Quantity{Code: "mg/dL"}, to: "mg/dL", low: "1", high: "1"},
		{name: "other system", literal: "1", q: Quantity{Unit: "mg/dL",
			Code: "258797006", System: "http://snomed.info/sct"}, to: "mg/dL", want: ErrUnit},
		{name: "no unit", literal: "1", to: "mg/dL", want: ErrUnit},
		{name: "less than", literal: "30", q: Quantity{Comparator: "<", Unit: "mL/min/1.73m2"}, to: Renal, high: "30",
			ho: true},
		{name: "at least", literal: "60", q: Quantity{Comparator: ">=", Unit: "mL/min/1.73 m2"}, to: Renal, low: "60"},
		{name: "greater", literal: "60", q: Quantity{Comparator: ">", Unit: "mL/min/1.73 m²"}, to: Renal, low: "60",
			lo: true},
		{name: "odd comparator", literal: "60", q: Quantity{Comparator: "~", Unit: "kg"}, to: "kg", want: ErrNumber},
		{name: "not per surface", literal: "60", q: Quantity{Code: "mL/min", System: UCUM}, to: Renal, want: ErrUnit},
		{name: "per m2", literal: "60", q: Quantity{Code: "mL/min/m2", System: UCUM}, to: Renal, want: ErrUnit},
		{name: "pounds", literal: "100", q: Quantity{Unit: "lbs"}, to: "kg", low: "45.359237", high: "45.359237"},
		{name: "inches", literal: "10", q: Quantity{Code: "[in_i]", System: UCUM}, to: "cm", low: "25.4",
			high: "25.4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.q.Value = num(t, tt.literal)
			got, err := tt.q.Bounds(tt.to, tt.analyte)
			if !errors.Is(err, tt.want) || (err != nil) != (tt.want != nil) {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
			same := func(d *apd.Decimal, want string) bool {
				if d == nil || want == "" {
					return d == nil && want == ""
				}
				if tt.rounding > 0 {
					d = new(apd.Decimal).Set(d)
					_, _ = apd.BaseContext.WithPrecision(34).Quantize(d, d, -tt.rounding)
				}
				return d.Text('f') == want
			}
			if !same(got.Low, tt.low) || !same(got.High, tt.high) || got.LowOpen != tt.lo || got.HighOpen != tt.ho {
				t.Errorf("bounds = %+v", got)
			}
		})
	}
}

func TestRenalSpellings(t *testing.T) {
	for _, s := range []string{"mL/min/{1.73_m2}", "mL/min/1.73m2", "mL/min/1.73 m2", "ml/min/1.73 m²",
		"mL/min/{1.73m2}", "mL/min/1.73.m2", "mL/min/1.73m^2"} {
		if c, ok := (Quantity{Unit: s}).UnitCode(); !ok || c != Renal {
			t.Errorf("unit text %q = %q, %v", s, c, ok)
		}
		if c, ok := (Quantity{Code: s, System: UCUM}).UnitCode(); !ok || c != Renal {
			t.Errorf("UCUM code %q = %q, %v", s, c, ok)
		}
	}
}

func TestParseNumberRefuses(t *testing.T) {
	for _, s := range []string{"", "NaN", "Infinity", "0x10", "1e31", "1e-31", "1e999999999",
		"1234567890123456789012345678901", "1 ", "--1", "1e", "-"} {
		if d, err := ParseNumber(s); !errors.Is(err, ErrNumber) {
			t.Errorf("ParseNumber(%q) = %v, %v", s, d, err)
		}
	}
}

// Whatever unit a creatinine travels in, it comes back the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := apd.New(rapid.Int64Range(1, 1_000_000).Draw(t, "coeff"), rapid.Int32Range(-4, 0).Draw(t, "exp"))
		there, err := Convert(n, "mg/dL", "umol/L", Creatinine)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Convert(there, "umol/L", "mg/dL", Creatinine)
		if err != nil || back.Cmp(n) != 0 {
			t.Fatalf("%s became %s, %v", n, back, err)
		}
	})
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"1.50", "-0", "1e5", "1E+30", "9999999999999999999999999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseNumber(s)
		if err != nil {
			return
		}
		if _, err := Convert(d, "mg/dL", "umol/L", Creatinine); err != nil {
			t.Errorf("accepted %q but cannot convert it: %v", s, err)
		}
	})
}

// TestKnown holds that what values can be had in is named by its one code.
func TestKnown(t *testing.T) {
	for text, want := range map[string]string{
		"mmol/L": "mmol/L", "mmol/l": "mmol/L", "mEq/L": "meq/L", "mg/100ml": "mg/dL", "mL/min/1.73m2": Renal,
		Renal: Renal, "%": "%", "10*9/L": "10*9/L", "{INR}": "{INR}",
		"": "", "mmol": "", "10^9/L": "10*9/L", "mg per dL": "", "MMOL/L ": "mmol/L",
	} {
		if code, ok := Known(text); code != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", text, code, ok, want)
		}
	}
}
