package units

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"
)

// TestAnalytes holds that the table of analytes is one: every code once, every entry
// with what it needs, words in lower case, limits in a known unit.
func TestAnalytes(t *testing.T) {
	for _, e := range analytes().list {
		if e.Name == "" || e.About == "" || len(e.Codes) == 0 {
			t.Errorf("%q lacks a name, codes or what it is about", e.Name)
		}
		for _, c := range e.Codes {
			if AnalyteOf(c.Code) != e.Name || c.Display == "" {
				t.Errorf("%s: code %s is of %q, display %q", e.Name, c.Code, AnalyteOf(c.Code), c.Display)
			}
		}
		for _, w := range slices.Concat(e.Words, e.Not) {
			if w != strings.ToLower(w) || strings.Trim(w, "*") == "" || strings.ContainsAny(w, " /-.") {
				t.Errorf("%s: %q is not a word in lower case", e.Name, w)
			}
		}
		if (e.Most == "") != (e.Unit == "") {
			t.Errorf("%s: limits need a unit", e.Name)
		}
		if code, ok := Known(e.Unit); e.Unit != "" && (!ok || code != e.Unit) {
			t.Errorf("%s: limits in %q", e.Name, e.Unit)
		}
	}
}

// TestWordsOfAnalytes has, for each row of the table, what its words find, and holds
// that each word that says "something else" keeps the others from it.
func TestWordsOfAnalytes(t *testing.T) {
	finds := map[Analyte][]string{
		"eGFR":                     {"eGFR", "eGFR (CKD-EPI)", "GFR, estimated", "Glomeruläre Filtrationsrate", "EGFRCR"},
		"creatinine":               {"Creatinine", "CREATININE, SERUM", "Kreatinin i.S.", "Crea", "Creat.", "s-krea"},
		"creatinine clearance":     {"CrCl", "CrCl (Cockcroft-Gault)"},
		"potassium":                {"Potassium", "Kalium i.S.", "POTASSIUM, PLASMA"},
		"sodium":                   {"Sodium", "Natrium"},
		"magnesium":                {"Magnesium", "Magnesium, Serum"},
		"calcium":                  {"Calcium", "Calcium, total", "Kalzium gesamt"},
		"digoxin":                  {"Digoxin", "Digoxin level", "Digoxinspiegel"},
		"hemoglobin":               {"Hemoglobin", "Hb", "HGB"},
		"HbA1c":                    {"HbA1c", "Hemoglobin A1c", "A1C"},
		"INR":                      {"INR", "PT/INR"},
		"platelets":                {"Platelet count", "PLT", "Thrombozyten"},
		"leukocytes":               {"WBC", "Leukocytes", "Leukozyten"},
		"PaCO2":                    {"PaCO2"},
		"troponin I":               {"Troponin I", "hs Troponin I", "cTnI", "Troponin"},
		"troponin T":               {"Troponin T", "hs-TnT", "Troponin"},
		"body weight":              {"Weight", "Body weight", "Gewicht", "WEIGHT (kg)"},
		"body height":              {"Height", "Body height", "Height / standing"},
		"body mass index":          {"BMI"},
		"body temperature":         {"Temperature", "Temperature, oral"},
		"heart rate":               {"Pulse", "HR", "Pulse rate"},
		"respiratory rate":         {"RR", "Atemfrequenz"},
		"systolic blood pressure":  {"Systolic BP", "SBP"},
		"diastolic blood pressure": {"Diastolic BP", "DBP"},
		"Glasgow coma score":       {"GCS", "GCS total"},
		"QTc interval":             {"QTc", "QTcF", "QTc (Bazett)"},
		"QT interval":              {"QT", "QT interval"},
	}
	for _, e := range analytes().list {
		if len(e.Words) == 0 {
			continue // found by its codes alone
		}
		if len(finds[e.Name]) == 0 {
			t.Errorf("%s has no test", e.Name)
		}
		for _, text := range finds[e.Name] {
			if named, other := e.Names(text); !named || other {
				t.Errorf("%s: %q is named %v, something else %v", e.Name, text, named, other)
			}
			for _, not := range e.Not {
				if named, other := e.Names(text + ", " + strings.Trim(not, "*")); !named || !other {
					t.Errorf("%s: %q and %q is named %v, something else %v", e.Name, text, not, named, other)
				}
			}
		}
	}
	// What is said in full, of the analytes that decide most.
	for text, e := range map[string]Analyte{
		"Creatinine [Mass/volume] in Urine": "creatinine", "Creatinine, 24h urine": "creatinine",
		"Urine albumin/creatinine ratio": "creatinine", "Microalbumin/Creat": "creatinine", "Creatine kinase": "creatinine",
		"Creatinine clearance": "creatinine", "eGFR (creatinine)": "creatinine", "BUN/Creatinine": "creatinine",
		"Kreatinin i.U., Harn": "creatinine", "Creatinine, dialysate": "creatinine", "increased lipids": "creatinine",
		"Creatinine clearance (GFR)": "eGFR", "CKD stage by eGFR": "eGFR", "Potassium, urine": "potassium",
		"Potassium chloride 20 mEq": "potassium", "Ionized calcium": "calcium", "Birth weight": "body weight",
		"QTc interval": "QT interval", "Troponin T": "troponin I", "Hemoglobin A1c": "hemoglobin",
	} {
		if named, other := Lookup(e).Names(text); named && !other {
			t.Errorf("%q was taken for %s", text, e)
		}
	}
}

// TestConversions converts what the packs of the reference need, there and back.
func TestConversions(t *testing.T) {
	for _, tt := range []struct {
		n, from, to, want string
		analyte           Analyte
	}{
		{"132", "[lb_av]", "kg", "59.87419284", ""},
		{"133", "umol/L", "mg/dL", "1.5042", Creatinine},
		{"132", "umol/L", "mg/dL", "1.4929", Creatinine},
		{"5.6", "meq/L", "mmol/L", "5.6", Potassium},
		{"2", "meq/L", "mmol/L", "1", "magnesium"},
		{"2.4", "mg/dL", "mmol/L", "0.98736", "magnesium"},
		{"10", "mg/dL", "mmol/L", "2.495", "calcium"},
		{"5", "meq/L", "mmol/L", "2.5", "calcium"},
		{"1.1", "nmol/L", "ng/mL", "0.8587", "digoxin"},
		{"100.9", "[degF]", "Cel", "38.2778", ""},
		{"98.6", "[degF]", "Cel", "37", ""},
		{"310.15", "K", "Cel", "37", ""},
		{"12100", "/uL", "10*9/L", "12.1", ""},
		{"12.1", "10*3/uL", "10*9/L", "12.1", ""},
		{"0.4", "s", "ms", "400", ""},
		{"70", "[in_i]", "cm", "177.8", ""},
		{"4.3", "kPa", "mm[Hg]", "32.2527", ""},
		{"6.5", "%", "mmol/mol", "47.5", "HbA1c"},
		{"48", "mmol/mol", "%", "6.54", "HbA1c"},
		{"0.065", "1", "%", "6.5", "HbA1c"},
		{"20", "mL/min", Renal, "20", EGFR},
		{"20", "mL/min", Renal, "", "creatinine clearance"},
		{"20", "mL/min", Renal, "", ""},
		{"20", Renal, "mL/min", "", EGFR},
		{"1", "mL/s/{1.73_m2}", Renal, "60", EGFR},
		{"16", "mg/dL", "meq/L", "", Potassium}, // no molar mass is listed: mass is not compared with equivalents
		{"16", "mg/dL", "mmol/L", "", Sodium},
		{"7", "%", "mmol/mol", "", "hemoglobin"},
		{"12", "g/dL", "mmol/L", "", "hemoglobin"},
		{"1", "[degF]", "kg", "", ""},
		{"15", "{score}", "1", "15", ""},
		{"50", "ng/L", "ug/L", "0.05", ""},
	} {
		got, err := Convert(num(t, tt.n), tt.from, tt.to, tt.analyte)
		if tt.want == "" {
			if !errors.Is(err, ErrUnit) {
				t.Errorf("%s %s of %q became %v %s, %v", tt.n, tt.from, tt.analyte, got, tt.to, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s to %s: %v", tt.n, tt.from, tt.to, err)
			continue
		}
		rounded := new(apd.Decimal).Set(got)
		if want := num(t, tt.want); want.Exponent > got.Exponent {
			_, _ = arithmetic.Quantize(rounded, got, want.Exponent)
		}
		if rounded.Cmp(num(t, tt.want)) != 0 {
			t.Errorf("%s %s of %q is %s %s, want %s", tt.n, tt.from, tt.analyte, got, tt.to, tt.want)
		}
		if back, err := Convert(got, tt.to, tt.from, tt.analyte); err == nil && tt.analyte != "HbA1c" {
			_, _ = arithmetic.Quantize(back, back, -12)
			if back.Cmp(num(t, tt.n)) != 0 {
				t.Errorf("%s %s came back as %s", tt.n, tt.from, back)
			}
		}
	}
}

// TestSpellings reads the units that charts write.
func TestSpellings(t *testing.T) {
	for text, want := range map[string]string{
		"mcg/dL": "ug/dL", "µg/mL": "ug/mL", "mcg/mL": "ug/mL", "K/uL": "10*3/uL", "10^3/uL": "10*3/uL",
		"x10E3/uL": "10*3/uL", "10^9/L": "10*9/L", "10⁹/L": "10*9/L", "THOU/uL": "10*3/uL", "mmHg": "mm[Hg]",
		"mm Hg": "mm[Hg]", "°F": "[degF]", "deg C": "Cel", "°C": "Cel", "bpm": "/min", "beats/min": "/min",
		"breaths/min": "/min", "msec": "ms", "lbs": "[lb_av]", "inches": "[in_i]", "mL/min/1.73 m^2": Renal,
		"mL/min/1,73 m²": Renal, "ml/min/(1.73 m2)": Renal, "mEq/L": "meq/L", "mmol/mol Hb": "mmol/mol", "INR": "{INR}",
		"kg/m²": "kg/m2", "oz": "[oz_av]", "cc/min": "mL/min",
		"mg per dL": "", "mL/min/m2": "", "units": "", "mg/24h": "",
	} {
		if got, ok := (Quantity{Unit: text}).UnitCode(); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", text, got, ok, want)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(known)) {
		if got, ok := Known(code); got != code || !ok {
			t.Errorf("%s is known as %q, %v", code, got, ok)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(spellings)) {
		if _, ok := known[spellings[s]]; !ok && !others[spellings[s]] {
			t.Errorf("%q is spelled for %q, which is no unit", s, spellings[s])
		}
	}
	for text, contradicts := range map[[2]string]bool{{"mL/min", Renal}: false, {"mL/min/1.73m2", "mL/min"}: false,
		{"%", "mmol/mol"}: true, {"K/uL", "10*9/L"}: false, {"/uL", "10*9/L"}: true, {"°F", "Cel"}: true} {
		if _, ok := (Quantity{Unit: text[0], Code: text[1], System: UCUM}).UnitCode(); ok == contradicts {
			t.Errorf("text %q and code %q: ok %v", text[0], text[1], ok)
		}
	}
}

// FuzzUnits holds that whatever a unit is written like, reading it ends, is the same
// again, and converts without error to what it is known as.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"mg/dL", "mL/min/1.73 m²", "10^9/L", "°F", "{INR}", "mcg", "\xff", "kg "} {
		f.Add(s, s, "1.5")
	}
	f.Fuzz(func(t *testing.T, text, code, literal string) {
		q := Quantity{Unit: text, Code: code, System: UCUM}
		n, err := ParseNumber(literal)
		if err != nil {
			n = apd.New(15, -1)
		}
		for _, q := range []Quantity{q, {Unit: text}, {Code: code}} {
			q.Value = n
			c, ok := q.UnitCode()
			if !ok {
				continue
			}
			if again := canonicalCode(c); again != c {
				t.Errorf("%q is %q, and that is %q", text, c, again)
			}
			if got, err := q.In(c, ""); err != nil || got.Cmp(n) != 0 {
				t.Errorf("%s %q in itself is %v, %v", n, c, got, err)
			}
			for _, a := range []Analyte{"", Creatinine, "HbA1c", EGFR} {
				for to := range known {
					_, err := Convert(n, c, to, a)
					if err != nil && !errors.Is(err, ErrUnit) && !errors.Is(err, ErrNumber) {
						t.Errorf("%s %q to %q: %v", n, c, to, err)
					}
				}
			}
		}
	})
}
