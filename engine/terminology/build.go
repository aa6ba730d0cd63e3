package terminology

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
)

// Item is a concept to be put into a table.
type Item struct {
	System, Code string // its own; Code may be empty for a form
	Display      string
	Kind         Kind
	Status       Status
	Route        string // one of [Routes]
	Parts        []int  // items: its ingredients, or groups; none for an ingredient itself
	Form         int    // item plus one; 0 for none
	Strengths    []Amount
}

// Amount is the strength of one ingredient of an item.
type Amount struct {
	Ingredient int // item
	Amount     apd.Decimal
	Unit       string
	PerAmount  apd.Decimal
	PerUnit    string
}

// Builder collects what becomes a [Table]. The zero value is empty.
type Builder struct {
	Release string
	items   []Item
	codes   []entry
}

// entry is a code of an item.
type entry struct {
	system, code string
	item         int
	remapped     bool
}

// Add adds an item and returns its number.
func (b *Builder) Add(it Item) int {
	b.items = append(b.items, it)
	if it.Code != "" {
		b.codes = append(b.codes, entry{it.System, it.Code, len(b.items) - 1, false})
	}
	return len(b.items) - 1
}

// Alias adds a further code of an item; remapped says that it was replaced by the
// item's own.
func (b *Builder) Alias(system, code string, item int, remapped bool) {
	b.codes = append(b.codes, entry{system, code, item, remapped})
}

// Item returns an item to be read or changed.
func (b *Builder) Item(n int) *Item { return &b.items[n] }

// Systems are the systems that there are codes of, sorted.
func (b *Builder) Systems() []string {
	seen := map[string]bool{}
	for _, c := range b.codes {
		seen[c.system] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// Bytes returns the table. The same content gives the same bytes in whatever order it
// was added. The error is [ErrTable]: a code that is there twice, a text that is none,
// an item without ingredients, an amount without end.
func (b *Builder) Bytes() ([]byte, error) {
	w := &writer{Builder: b, texts: map[string]uint32{}, lists: map[string]uint32{}, strengths: map[string]uint32{}}
	data, err := w.write()
	if err != nil {
		return nil, fmt.Errorf("building terminology table: %w", err)
	}
	if _, err := Open(data); err != nil { // what is written can be read
		return nil, fmt.Errorf("building terminology table: %w", err)
	}
	return data, nil
}

// writer lays the sections out.
type writer struct {
	*Builder
	section   [sections][]byte
	texts     map[string]uint32
	lists     map[string]uint32
	strengths map[string]uint32
	rank      []int // of an item: its number in the table
}

// Places of the sections.
const (
	textSection = iota
	systemSection
	listSection
	strengthSection
	conceptSection
	codeSection
)

func (w *writer) write() ([]byte, error) {
	order, err := w.order()
	if err != nil {
		return nil, err
	}
	release, err := w.text(w.Release)
	if err != nil {
		return nil, err
	}
	systems := w.Systems()
	for _, s := range systems {
		if err := w.ref(systemSection, s); err != nil {
			return nil, err
		}
	}
	own, err := w.writeCodes(systems)
	if err != nil {
		return nil, err
	}
	for _, n := range order {
		if err := w.concept(n, own); err != nil {
			it := w.items[n]
			return nil, fmt.Errorf("%s %q of %s: %w", it.Kind, it.Code, it.System, err)
		}
	}
	out := append(make([]byte, 0, headerSize), magic...)
	out = binary.LittleEndian.AppendUint32(out, version)
	out = binary.LittleEndian.AppendUint32(out, release)
	for _, s := range w.section {
		if int64(len(s)) > math.MaxUint32 {
			return nil, refuse("it has more than %d bytes", MaxBytes)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(len(s)))
	}
	for _, s := range w.section {
		out = append(out, s...)
	}
	return out, nil
}

// order sorts the items by what they are, so that the order they came in is gone.
func (w *writer) order() ([]int, error) {
	order := make([]int, len(w.items))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &w.items[a], &w.items[b]
		return cmp.Or(cmp.Compare(x.System, y.System), cmp.Compare(len(x.Code), len(y.Code)),
			cmp.Compare(x.Code, y.Code), cmp.Compare(x.Display, y.Display), cmp.Compare(x.Kind, y.Kind))
	})
	w.rank = make([]int, len(order))
	for rank, n := range order {
		w.rank[n] = rank
	}
	for i := 1; i < len(order); i++ {
		if x, y := &w.items[order[i-1]], &w.items[order[i]]; x.Code == "" && y.Code == "" && x.System == y.System &&
			x.Display == y.Display && x.Kind == y.Kind {
			return nil, refuse("%s %q is there twice", x.Kind, x.Display)
		}
	}
	return order, nil
}

// writeCodes returns the place of each item's own code.
func (w *writer) writeCodes(systems []string) ([]uint32, error) {
	slices.SortFunc(w.codes, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.system, b.system), cmp.Compare(a.code, b.code))
	})
	own := slices.Repeat([]uint32{none}, len(w.items))
	for i, c := range w.codes {
		if i > 0 && w.codes[i-1].system == c.system && w.codes[i-1].code == c.code {
			return nil, refuse("code %q of %s is there twice", c.code, c.system)
		}
		if err := w.ref(codeSection, c.code); err != nil {
			return nil, err
		}
		w.put(codeSection, uint32(w.rank[c.item]))
		system, _ := slices.BinarySearch(systems, c.system)
		flags := byte(0)
		if c.remapped {
			flags = remapped
		}
		w.section[codeSection] = append(w.section[codeSection], byte(system), flags, 0, 0)
		if it := &w.items[c.item]; it.Code == c.code && it.System == c.system {
			own[c.item] = uint32(i)
		}
	}
	return own, nil
}

func (w *writer) concept(n int, own []uint32) error {
	it := &w.items[n]
	route := slices.Index(Routes, it.Route)
	if route < 0 {
		return refuse("%q is not a route", it.Route)
	}
	list, err := w.list(n)
	if err != nil {
		return err
	}
	first, err := w.amounts(it.Strengths)
	if err != nil {
		return err
	}
	form := none
	if it.Form > 0 {
		form = uint32(w.rank[it.Form-1])
	}
	if err := w.ref(conceptSection, it.Display); err != nil {
		return err
	}
	for _, v := range []uint32{own[n], list, form, first} {
		w.put(conceptSection, v)
	}
	w.section[conceptSection] = append(w.section[conceptSection], byte(len(it.Strengths)), byte(it.Kind),
		byte(it.Status), byte(route))
	return nil
}

func (w *writer) put(section int, v uint32) {
	w.section[section] = binary.LittleEndian.AppendUint32(w.section[section], v)
}

func (w *writer) ref(section int, s string) error {
	at, err := w.text(s)
	w.put(section, at)
	return err
}

func (w *writer) text(s string) (uint32, error) {
	if at, ok := w.texts[s]; ok {
		return at, nil
	}
	if !utf8.ValidString(s) || len(s) > math.MaxUint16 || s == "" {
		return 0, refuse("a text is empty, too long or not UTF-8")
	}
	t := w.section[textSection]
	if len(t) > MaxBytes {
		return 0, refuse("it has more than %d bytes", MaxBytes)
	}
	at := uint32(len(t))
	w.section[textSection] = append(binary.LittleEndian.AppendUint16(t, uint16(len(s))), s...)
	w.texts[s] = at
	return at, nil
}

// list writes the parts of an item, each once and sorted; equal lists once.
func (w *writer) list(n int) (uint32, error) {
	it := &w.items[n]
	parts := it.Parts
	switch {
	case len(parts) == 0 && it.Kind.isForm():
		return none, nil
	case len(parts) == 0 && (it.Kind == IN || it.Kind == Ingredient):
		parts = []int{n}
	case len(parts) == 0:
		return 0, refuse("it has no ingredients")
	}
	ranks := make([]uint32, len(parts))
	for i, p := range parts {
		ranks[i] = uint32(w.rank[p])
	}
	slices.Sort(ranks)
	if ranks = slices.Compact(ranks); len(ranks) > maxParts {
		return 0, refuse("it has more than %d ingredients", maxParts)
	}
	bytes := binary.LittleEndian.AppendUint32(nil, uint32(len(ranks)))
	for _, r := range ranks {
		bytes = binary.LittleEndian.AppendUint32(bytes, r)
	}
	return w.once(listSection, w.lists, bytes, 4), nil
}

// amounts writes the strengths of an item, sorted by ingredient.
func (w *writer) amounts(list []Amount) (uint32, error) {
	if len(list) > math.MaxUint8 {
		return 0, refuse("it has more than %d strengths", math.MaxUint8)
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Amount) int {
		return cmp.Compare(w.rank[a.Ingredient], w.rank[b.Ingredient])
	})
	var bytes []byte
	for _, s := range list {
		amount, places, err := fixed(&s.Amount)
		if err != nil {
			return 0, err
		}
		var perAmount uint64
		var perPlaces byte
		per := none
		if s.PerUnit != "" {
			if perAmount, perPlaces, err = fixed(&s.PerAmount); err != nil {
				return 0, err
			}
			if per, err = w.text(s.PerUnit); err != nil {
				return 0, err
			}
		}
		unit, err := w.text(s.Unit)
		if err != nil {
			return 0, err
		}
		for _, v := range []uint32{uint32(w.rank[s.Ingredient]), unit, per} {
			bytes = binary.LittleEndian.AppendUint32(bytes, v)
		}
		bytes = binary.LittleEndian.AppendUint64(bytes, amount)
		bytes = binary.LittleEndian.AppendUint64(bytes, perAmount)
		bytes = append(bytes, places, perPlaces, 0, 0)
	}
	if len(bytes) == 0 {
		return 0, nil
	}
	return w.once(strengthSection, w.strengths, bytes, strengthSize), nil
}

// once appends bytes to a section unless the same are there, and returns their place.
func (w *writer) once(section int, have map[string]uint32, bytes []byte, unit int) uint32 {
	at, ok := have[string(bytes)]
	if !ok {
		at = uint32(len(w.section[section]) / unit)
		have[string(bytes)] = at
		w.section[section] = append(w.section[section], bytes...)
	}
	return at
}

// fixed writes a number as an integer with decimal places.
func fixed(d *apd.Decimal) (uint64, byte, error) {
	text := d.Text('f')
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	if d.Form != apd.Finite || d.Negative || len(fraction) > maxPlaces || len(whole)+len(fraction) > 18 {
		return 0, 0, refuse("the amount %s cannot be written", text)
	}
	var n uint64
	for _, digit := range whole + fraction {
		n = n*10 + uint64(digit-'0')
	}
	if n == 0 {
		return 0, 0, refuse("an amount is zero")
	}
	return n, byte(len(fraction)), nil
}
