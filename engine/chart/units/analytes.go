package units

import (
	_ "embed"
	"fmt"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
	jsonv2 "github.com/go-json-experiment/json"
)

// Analyte names what was measured, where a conversion or a search depends on it.
type Analyte string

// The analytes that code asks for by name. The empty Analyte is none of the table.
const (
	EGFR       Analyte = "eGFR"
	Creatinine Analyte = "creatinine"
	Potassium  Analyte = "potassium"
	Sodium     Analyte = "sodium"
	Weight     Analyte = "body weight"
	Height     Analyte = "body height"
	BMI        Analyte = "body mass index"
	HeartRate  Analyte = "heart rate"
	QT         Analyte = "QT interval"
	QTc        Analyte = "QTc interval"
)

// Code is one LOINC code of an analyte.
type Code struct {
	Code    string `json:"code"`
	Display string `json:"display"`
	Method  string `json:"method,omitempty"` // the formula behind it, as evidence names it
}

// Entry is what the library knows of one analyte: the one list of its codes,
// what its conversions rest on, and the words by which a result without a known
// code is found.
type Entry struct {
	Name     Analyte  `json:"name"`
	About    string   `json:"about"`
	Source   string   `json:"source,omitempty"`
	Codes    []Code   `json:"codes"`               // LOINC
	MolPerG  string   `json:"mol_per_g,omitempty"` // moles of one gram
	Valence  int      `json:"valence,omitzero"`    // equivalents of one mole
	PerArea  bool     `json:"per_area,omitzero"`   // a rate per 1.73 m2: so says the code, also where the unit does not
	Glycated bool     `json:"glycated,omitzero"`   // NGSP per cent and IFCC mmol/mol
	Least    string   `json:"least,omitempty"`     // below it no living patient is; in Unit
	Most     string   `json:"most,omitempty"`      // above it none is
	Unit     string   `json:"unit,omitempty"`      // UCUM, of Least and Most
	Words    []string `json:"words,omitempty"`     // any of them names it; see Entry.Names
	Not      []string `json:"not,omitempty"`       // unless one of these says that it is something else

	least, most *apd.Decimal
}

//go:embed analytes.json
var analytesFile []byte

// analytes is the table, read once. A slip in it is found by the first test.
var analytes = sync.OnceValue(func() *table {
	var file struct {
		Version  string   `json:"version"`
		Analytes []*Entry `json:"analytes"`
	}
	if err := jsonv2.Unmarshal(analytesFile, &file, jsonv2.RejectUnknownMembers(true)); err != nil {
		panic("units: reading analytes.json: " + err.Error())
	}
	t := &table{list: file.Analytes, byName: map[Analyte]*Entry{}, byCode: map[string]*Entry{},
		methods: map[string]string{}}
	for _, e := range t.list {
		if t.byName[e.Name] != nil {
			panic(fmt.Sprintf("units: analytes.json has %s twice", e.Name))
		}
		t.byName[e.Name] = e
		if e.Most != "" {
			e.least, e.most = decimal(e.Least), decimal(e.Most)
		}
		for _, c := range e.Codes {
			if t.byCode[c.Code] != nil {
				panic(fmt.Sprintf("units: analytes.json has the code %s twice", c.Code))
			}
			t.byCode[c.Code] = e
			if c.Method != "" {
				t.methods[c.Code] = c.Method
			}
		}
	}
	return t
})

type table struct {
	list    []*Entry
	byName  map[Analyte]*Entry
	byCode  map[string]*Entry
	methods map[string]string
}

// AnalyteOf returns the analyte of a LOINC code, or the empty one.
func AnalyteOf(loinc string) Analyte {
	if e := analytes().byCode[loinc]; e != nil {
		return e.Name
	}
	return ""
}

// MethodOf returns the formula behind a LOINC code, "" if the code names none.
func MethodOf(loinc string) string { return analytes().methods[loinc] }

// Lookup returns the entry of an analyte, nil for the empty one. It must not be
// changed.
func Lookup(a Analyte) *Entry { return analytes().byName[a] }

// Plausible reports whether a living patient can have what the bounds, in the unit of
// the entry, say. The limits are wide on purpose, beyond everything reported: a slip of
// the unit or the point would otherwise read as sound.
func (e *Entry) Plausible(b Bounds) bool {
	above := func(d *apd.Decimal) bool { return d != nil && e.most != nil && d.Cmp(e.most) > 0 }
	return !above(b.Low) && !above(b.High) && (b.High == nil || e.least == nil || b.High.Cmp(e.least) >= 0)
}

// Names reports whether a text has a word that names the analyte, and whether it
// has one that makes it something else. Words are compared without case, from
// letter to letter ("Creat." has the word creat); a word that ends in * is the
// beginning of one.
func (e *Entry) Names(text string) (named, other bool) {
	for len(text) > 0 {
		var w string
		if w, text = nextWord(text); w == "" {
			continue
		}
		named = named || oneOf(e.Words, w)
		other = other || oneOf(e.Not, w)
	}
	return named, other
}

// nextWord cuts the first run of letters and digits off a text; it is empty where
// the text begins with something else.
func nextWord(text string) (w, rest string) {
	n := 0
	for n < len(text) {
		r, size := rune(text[n]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[n:])
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			if n == 0 {
				return "", text[size:]
			}
			break
		}
		n += size
	}
	return text[:n], text[n:]
}

func oneOf(list []string, word string) bool {
	for _, x := range list {
		if n := len(x) - 1; x[n] == '*' {
			if len(word) >= n && equalFold(word[:n], x[:n]) {
				return true
			}
		} else if len(word) == len(x) && equalFold(word, x) {
			return true
		}
	}
	return false
}

// equalFold compares a word with a lower-case one of the table, of equal length
// and in ASCII but for letters that have only one case in use.
func equalFold(word, lower string) bool {
	for i := range len(lower) {
		c := word[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
