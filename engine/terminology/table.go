package terminology

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/cockroachdb/apd/v3"
)

// ErrTable means that bytes are not a table, or one that contradicts itself. Build
// it again with precept terminology build.
var ErrTable = errors.New("not a terminology table")

// Kind says what sort of thing a concept is. The names are the term types of RxNorm;
// Ingredient and Product are those of other systems.
type Kind uint8

// The kinds of concepts.
const (
	Ingredient Kind = iota
	Product
	IN    // ingredient
	PIN   // precise ingredient, such as a salt
	MIN   // several ingredients together
	BN    // brand name
	SCDC  // ingredient and strength
	SBDC  // the same of a brand
	SCDF  // ingredient and dose form
	SBDF  // the same of a brand
	SCDFP // precise ingredient and dose form
	SBDFP // the same of a brand
	SCDG  // ingredient and group of dose forms
	SBDG  // the same of a brand
	SCDGP // precise ingredient and group of dose forms
	SCD   // ingredient, strength and dose form
	SBD   // the same of a brand
	GPCK  // pack
	BPCK  // pack of a brand
	DF    // dose form
	DFG   // group of dose forms
	kinds
)

var kindNames = [kinds]string{"ingredient", "product", "IN", "PIN", "MIN", "BN", "SCDC", "SBDC", "SCDF", "SBDF",
	"SCDFP", "SBDFP", "SCDG", "SBDG", "SCDGP", "SCD", "SBD", "GPCK", "BPCK", "DF", "DFG"}

// String returns the term type, or the word for it.
func (k Kind) String() string { return kindNames[min(k, kinds-1)] }

// isForm reports that concepts of the kind are forms of drugs, not drugs.
func (k Kind) isForm() bool { return k == DF || k == DFG }

// Status says whether the publisher still keeps a concept.
type Status uint8

// The statuses of concepts.
const (
	Active Status = iota
	Obsolete
	statuses
)

// String returns the word for it.
func (s Status) String() string { return [...]string{"active", "obsolete"}[min(s, statuses-1)] }

// Routes are the words of rule packs for how a product is given; the first stands
// for a product of which that is not said in such a word.
var Routes = []string{"", "oral", "topical", "injectable", "ophthalmic", "nasal", "inhaled", "transdermal", "other"}

// Limits of a table. Real ones stay far below them.
const (
	MaxBytes = 60 << 20 // so that a pack with it fits into the store
	maxLists = 1 << 20  // numbers in lists: 32,000 lists of the full RxNorm have some 100,000
	maxParts = 255      // of one list: looking one up makes as many
)

const (
	magic        = "PRECTERM"
	version      = 1
	headerSize   = len(magic) + 4 + 4 + sections*4
	sections     = 6
	none         = ^uint32(0)
	strengthSize = 32
	conceptSize  = 24
	codeSize     = 12
	remapped     = 1 // flag of a code that the publisher replaced by the concept's own
)

// Table is one release. It is safe for concurrent use.
type Table struct {
	release                                           uint32
	texts, systems, lists, strengths, concepts, codes []byte

	seed  maphash.Seed // of index: what is found does not depend on it
	index []uint32     // open addressing: place in codes plus one
	names []string     // of systems
}

// Open makes a table of its bytes, which must not be changed afterwards. The error
// is [ErrTable].
func Open(data []byte) (*Table, error) {
	t := &Table{seed: maphash.MakeSeed()}
	if err := t.open(data); err != nil {
		return nil, fmt.Errorf("reading terminology table: %w", err)
	}
	return t, nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrTable}, args...)...)
}

func (t *Table) open(data []byte) error {
	switch {
	case len(data) > MaxBytes:
		return refuse("it has more than %d bytes", MaxBytes)
	case len(data) < headerSize || string(data[:len(magic)]) != magic:
		return refuse("it does not begin with %q", magic)
	}
	if v := number(data, len(magic)); v != version {
		return refuse("its version is %d; this program reads version %d", v, version)
	}
	t.release = number(data, len(magic)+4)
	rest := data[headerSize:]
	for i, s := range []struct {
		to   *[]byte
		unit int
	}{{&t.texts, 1}, {&t.systems, 4}, {&t.lists, 4}, {&t.strengths, strengthSize}, {&t.concepts, conceptSize},
		{&t.codes, codeSize}} {
		n := int64(number(data, len(magic)+8+4*i))
		if n > int64(len(rest)) || n%int64(s.unit) != 0 {
			return refuse("section %d has no right length", i)
		}
		*s.to, rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return refuse("something follows the sections")
	}
	for _, check := range []func() error{t.checkSystems, t.checkLists, t.checkStrengths, t.checkConcepts,
		t.checkCodes} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func number(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// isText reports whether a reference is one to a text.
func (t *Table) isText(at uint32) bool {
	if int64(at)+2 > int64(len(t.texts)) {
		return false
	}
	n := int64(binary.LittleEndian.Uint16(t.texts[at:]))
	return int64(at)+2+n <= int64(len(t.texts)) && utf8.Valid(t.texts[at+2:int64(at)+2+n])
}

// text returns a text that was checked.
func (t *Table) text(at uint32) string {
	n := binary.LittleEndian.Uint16(t.texts[at:])
	b := t.texts[at+2 : int(at)+2+int(n)]
	return unsafe.String(unsafe.SliceData(b), len(b)) // the bytes are never changed
}

func (t *Table) checkSystems() error {
	if !t.isText(t.release) {
		return refuse("the release is no text")
	}
	if len(t.systems)/4 > 200 {
		return refuse("it has more than 200 systems")
	}
	for at := 0; at < len(t.systems); at += 4 {
		ref := number(t.systems, at)
		if !t.isText(ref) || len(t.names) > 0 && t.names[len(t.names)-1] >= t.text(ref) {
			return refuse("the systems are not sorted texts")
		}
		t.names = append(t.names, t.text(ref))
	}
	return nil
}

func (t *Table) checkLists() error {
	n := len(t.lists) / 4
	if n > maxLists {
		return refuse("its lists have more than %d numbers", maxLists)
	}
	for at := 0; at < n; {
		length := number(t.lists, 4*at)
		if length == 0 || length > maxParts || int64(length) >= int64(n-at) {
			return refuse("a list has no right length")
		}
		for i := range int(length) {
			c := number(t.lists, 4*(at+1+i))
			if !t.isConcept(c) {
				return refuse("a list names a concept that is not there")
			}
			if t.isForm(c) != t.isForm(number(t.lists, 4*(at+1))) {
				return refuse("a list names drugs and forms")
			}
		}
		at += 1 + int(length)
	}
	return nil
}

// isForm reads the kind of a concept that is there.
func (t *Table) isForm(n uint32) bool { return Kind(t.concepts[int(n)*conceptSize+21]).isForm() }

func (t *Table) isConcept(n uint32) bool { return int64(n) < int64(len(t.concepts)/conceptSize) }

func (t *Table) checkStrengths() error {
	for at := 0; at < len(t.strengths); at += strengthSize {
		s := t.strengths[at : at+strengthSize]
		per, perAmount := number(s, 8), binary.LittleEndian.Uint64(s[20:])
		if !t.isConcept(number(s, 0)) || !t.isText(number(s, 4)) || per != none && !t.isText(per) ||
			binary.LittleEndian.Uint64(s[12:])-1 >= maxAmount || (per == none) != (perAmount == 0) ||
			perAmount > maxAmount || s[28] > maxPlaces || s[29] > maxPlaces || s[30]|s[31] != 0 {
			return refuse("a strength has no right amount, unit or ingredient")
		}
	}
	return nil
}

// Bounds of the amounts of strengths: 18 digits, of which 9 may be decimal places.
const (
	maxAmount = 1_000_000_000_000_000_000
	maxPlaces = 9
)

func (t *Table) checkConcepts() error {
	starts := make([]uint64, (len(t.lists)/4+63)/64) // where lists begin, a bit each
	for at := 0; at < len(t.lists)/4; at += 1 + int(number(t.lists, 4*at)) {
		starts[at/64] |= 1 << (at % 64)
	}
	codes, strengths := int64(len(t.codes)/codeSize), int64(len(t.strengths)/strengthSize)
	for at := 0; at < len(t.concepts); at += conceptSize {
		c := t.concepts[at : at+conceptSize]
		code, list, form := number(c, 4), number(c, 8), number(c, 12)
		kind := Kind(c[21])
		switch {
		case !t.isText(number(c, 0)):
			return refuse("a concept has no display")
		case code != none && int64(code) >= codes, kind >= kinds, c[22] >= byte(statuses), int(c[23]) >= len(Routes):
			return refuse("a concept has no right code, kind, status or route")
		case list == none && !kind.isForm(),
			list != none && (int64(list) >= int64(len(t.lists)/4) || starts[list/64]>>(list%64)&1 == 0):
			return refuse("a concept has no list of ingredients")
		case list != none && t.isForm(number(t.lists, int(4*(list+1)))) != kind.isForm():
			return refuse("the list of a concept names a form for a drug, or a drug for a form")
		case form != none && (!t.isConcept(form) || !t.isForm(form)):
			return refuse("a concept has a form that is none")
		case c[20] > 0 && int64(number(c, 16))+int64(c[20]) > strengths:
			return refuse("a concept has strengths that are not there")
		}
	}
	return nil
}

// list returns the members of a list.
func (t *Table) list(at uint32) []Concept {
	if at == none {
		return nil
	}
	out := make([]Concept, number(t.lists, int(4*at)))
	for i := range out {
		out[i] = Concept{t, number(t.lists, 4*(int(at)+1+i))}
	}
	return out
}

func (t *Table) checkCodes() error {
	n := len(t.codes) / codeSize
	size := 1
	for size < n+n/3+1 {
		size *= 2
	}
	t.index = make([]uint32, size)
	var last string
	lastSystem := -1
	for i := range n {
		c := t.codes[i*codeSize : (i+1)*codeSize]
		if !t.isText(number(c, 0)) || !t.isConcept(number(c, 4)) || int(c[8]) >= len(t.names) || c[9] > remapped ||
			c[10]|c[11] != 0 {
			return refuse("a code has no right text, concept or system")
		}
		code, system := t.text(number(c, 0)), int(c[8])
		if system < lastSystem || system == lastSystem && code <= last || code == "" {
			return refuse("the codes are not sorted, or one is there twice")
		}
		last, lastSystem = code, system
		at := t.slot(system, code)
		for t.index[at] != 0 {
			at = (at + 1) & uint32(size-1)
		}
		t.index[at] = uint32(i + 1)
	}
	return nil
}

// slot is where the search for a code begins.
func (t *Table) slot(system int, code string) uint32 {
	h := maphash.String(t.seed, code) + uint64(system)*0x9e3779b97f4a7c15
	return uint32(h^h>>32) & uint32(len(t.index)-1)
}

// Release names the release, such as "2026.11".
func (t *Table) Release() string { return t.text(t.release) }

// Systems are the code systems it has codes of, sorted. The list must not be changed.
func (t *Table) Systems() []string { return t.names }

// Lists is how many numbers all lists of concepts have; see [Concept.List].
func (t *Table) Lists() int { return len(t.lists) / 4 }

// Concepts is how many concepts there are.
func (t *Table) Concepts() int { return len(t.concepts) / conceptSize }

// Codes is how many codes there are.
func (t *Table) Codes() int { return len(t.codes) / codeSize }

// Concept returns a concept by its number, below [Table.Concepts].
func (t *Table) Concept(n int) Concept { return Concept{t, uint32(n)} }

// Code is one code of a table.
type Code struct {
	System, Code string
	Concept      Concept
	Remapped     bool // the publisher has put the concept's own code in its place
}

// Code returns a code by its number, below [Table.Codes].
func (t *Table) Code(n int) Code {
	c := t.codes[n*codeSize : (n+1)*codeSize]
	return Code{System: t.names[c[8]], Code: t.text(number(c, 0)), Concept: Concept{t, number(c, 4)},
		Remapped: c[9]&remapped != 0}
}

// Find looks up a code as it is stored. System is the URI as FHIR writes it. It
// allocates nothing.
func (t *Table) Find(system, code string) (Code, bool) {
	for s, name := range t.names {
		if name == system {
			return t.find(s, code)
		}
	}
	return Code{}, false
}

func (t *Table) find(system int, code string) (Code, bool) {
	if len(t.codes) == 0 {
		return Code{}, false
	}
	for at := t.slot(system, code); t.index[at] != 0; at = (at + 1) & uint32(len(t.index)-1) {
		i := int(t.index[at] - 1)
		if c := t.codes[i*codeSize : (i+1)*codeSize]; int(c[8]) == system && t.text(number(c, 0)) == code {
			return t.Code(i), true
		}
	}
	return Code{}, false
}

// Concept is something that codes stand for. The zero value is none.
type Concept struct {
	t *Table
	n uint32
}

func (c Concept) bytes() []byte {
	return c.t.concepts[int(c.n)*conceptSize : (int(c.n)+1)*conceptSize]
}

// Is reports whether two concepts of one table are the same.
func (c Concept) Is(o Concept) bool { return c == o }

// Exists reports that it is a concept.
func (c Concept) Exists() bool { return c.t != nil }

// Display is its name.
func (c Concept) Display() string { return c.t.text(number(c.bytes(), 0)) }

// Own is its own code; ok is false for one without, such as a dose form that its
// publisher only names.
func (c Concept) Own() (own Code, ok bool) {
	if at := number(c.bytes(), 4); at != none {
		return c.t.Code(int(at)), true
	}
	return Code{}, false
}

// Kind is what sort of thing it is.
func (c Concept) Kind() Kind { return Kind(c.bytes()[21]) }

// Status says whether its publisher still keeps it.
func (c Concept) Status() Status { return Status(c.bytes()[22]) }

// Route is one of [Routes].
func (c Concept) Route() string { return Routes[c.bytes()[23]] }

// IsDrug reports that it has ingredients.
func (c Concept) IsDrug() bool { return !c.Kind().isForm() }

// List is the place of its list among the numbers of all lists, and the length of
// the list: the places after it are those of its members, up to [Table.Lists]. It is
// for those who keep something for each of them. Length 0 is no list.
func (c Concept) List() (at, length int) {
	ref := number(c.bytes(), 8)
	if ref == none {
		return 0, 0
	}
	return int(ref), int(number(c.t.lists, int(4*ref)))
}

// Member returns the concept at a place of the lists that is not that of a length.
func (t *Table) Member(at int) Concept { return Concept{t, number(t.lists, 4*at)} }

// Parts are the ingredients of a drug, or the groups of a dose form.
func (c Concept) Parts() []Concept { return c.t.list(number(c.bytes(), 8)) }

// Form is its dose form, or the group of dose forms if that is all that is known;
// it does not exist if neither is.
func (c Concept) Form() Concept {
	if form := number(c.bytes(), 12); form != none {
		return Concept{c.t, form}
	}
	return Concept{}
}

// Strength is how much of an ingredient a product holds.
type Strength struct {
	Ingredient Concept
	Amount     apd.Decimal // above zero
	Unit       string      // UCUM
	PerAmount  apd.Decimal // above zero if there is a PerUnit
	PerUnit    string      // UCUM; empty for one dose unit, such as a tablet
}

// String writes it as "500 mg" or "250 mg/5 mL".
func (s Strength) String() string {
	switch {
	case s.PerUnit == "":
		return s.Amount.Text('f') + " " + s.Unit
	case s.PerAmount.Text('f') == "1":
		return s.Amount.Text('f') + " " + s.Unit + "/" + s.PerUnit
	}
	return s.Amount.Text('f') + " " + s.Unit + "/" + s.PerAmount.Text('f') + " " + s.PerUnit
}

// Strengths are those of its ingredients that are known, in their order.
func (c Concept) Strengths() []Strength {
	b := c.bytes()
	if b[20] == 0 {
		return nil
	}
	out := make([]Strength, b[20])
	for i := range out {
		s := c.t.strengths[(int(number(b, 16))+i)*strengthSize:]
		out[i] = Strength{Ingredient: Concept{c.t, number(s, 0)}, Unit: c.t.text(number(s, 4)),
			Amount: *apd.New(int64(binary.LittleEndian.Uint64(s[12:])), -int32(s[28]))}
		if per := number(s, 8); per != none {
			out[i].PerUnit = c.t.text(per)
			out[i].PerAmount = *apd.New(int64(binary.LittleEndian.Uint64(s[20:])), -int32(s[29]))
		}
	}
	return out
}

// Lookup is Find for codes as they are sent: of RxNorm, NDC and the rest. An NDC is
// found with and without hyphens, in ten digits and in eleven; one of ten digits
// without hyphens only if it can mean one product.
func (t *Table) Lookup(system, code string) (Code, bool) {
	if system == NDC {
		return t.lookupNDC(code)
	}
	return t.Find(system, code)
}

// NDC is the system of National Drug Codes.
const NDC = "http://hl7.org/fhir/sid/ndc"

func (t *Table) lookupNDC(code string) (Code, bool) {
	var buf [3]string
	var found Code
	for _, full := range ndcForms(code, &buf) {
		c, ok := t.Find(NDC, full)
		switch {
		case !ok:
		case found.Code == "":
			found = c
		case found.Concept != c.Concept:
			return Code{}, false // it may be either
		}
	}
	return found, found.Code != ""
}

// ndcForms returns the codes of eleven digits that an NDC may stand for: none, one,
// or three for ten digits without hyphens, because a zero may be missing from any
// of its parts (labeler 5, product 4, package 2).
func ndcForms(code string, buf *[3]string) []string {
	var digits [11]byte
	if i := strings.IndexByte(code, '-'); i >= 0 {
		j := strings.LastIndexByte(code, '-')
		if i == j || !pad(digits[:5], code[:i]) || !pad(digits[5:9], code[i+1:j]) || !pad(digits[9:], code[j+1:]) ||
			len(code) < 12 {
			return nil
		}
		buf[0] = string(digits[:])
		return buf[:1]
	}
	switch {
	case !digitsOnly(code):
		return nil
	case len(code) == 11:
		buf[0] = code
		return buf[:1]
	case len(code) == 10:
		*buf = [3]string{"0" + code, code[:5] + "0" + code[5:], code[:9] + "0" + code[9:]}
		return buf[:3]
	}
	return nil
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// pad copies digits to the end of a part and fills it with zeros; one may be missing.
func pad(part []byte, s string) bool {
	if len(s) > len(part) || len(s) < len(part)-1 || !digitsOnly(s) {
		return false
	}
	for i := range part {
		part[i] = '0'
	}
	copy(part[len(part)-len(s):], s)
	return true
}
