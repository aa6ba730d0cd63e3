package terminology

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
)

// The systems that a release of RxNorm holds codes of.
const (
	RxNorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
	ATC    = "http://www.whocc.no/atc"
)

// The files of a release. RxNorm Current Prescribable Content has the first three.
const (
	consoFile   = "RXNCONSO.RRF"
	relFile     = "RXNREL.RRF"
	satFile     = "RXNSAT.RRF"
	archiveFile = "RXNATOMARCHIVE.RRF"
	cuiFile     = "RXNCUI.RRF"
)

// maxConcepts bounds the concepts and codes of a release; the full RxNorm has some
// 400,000 of the first and 300,000 NDCs.
const maxConcepts = 3_000_000

// ReadRxNorm reads the RRF folder of a release of RxNorm into a builder: the full
// release, or Current Prescribable Content, which needs no licence. What it holds of
// RxNorm's own concepts (SAB RXNORM) is taken, with NDC and ATC; what is left out is
// counted. The error is [ErrRelease], that of reading a file, or that of ctx.
func ReadRxNorm(ctx context.Context, fsys fs.FS, b *Builder, counts *Counts, progress Progress) error {
	r := &rxnorm{source: source{ctx: ctx, fsys: fsys, progress: progress}, builder: b, counts: counts,
		byCUI: map[uint32]int32{}}
	if err := r.readAll(); err != nil {
		return fmt.Errorf("reading RxNorm: %w", err)
	}
	return nil
}

// rxnorm is a release while it is read.
type rxnorm struct {
	source
	builder  *Builder
	counts   *Counts
	concepts []rxConcept
	byCUI    map[uint32]int32
	edges    []edge // sorted by from, relation, to when they were read
	atc      []alias
	ndc      []alias
	moved    []move
	others   int // atoms of other sources
}

// rxConcept is one concept of RxNorm's own.
type rxConcept struct {
	cui      uint32
	aui      uint32 // of the atom that gave the name
	display  string
	kind     Kind
	rank     uint8 // of how its atom is suppressed: 0 is not
	state    uint8 // of resolving its ingredients
	parts    []uint32
	item     int32 // of the builder, plus one; 0 for one left out
	strength boss
}

// boss is the strength of a component as RxNorm gives it.
type boss struct{ num, numUnit, den, denUnit, text string }

// relation is one of RxNorm's relationships that lead from a drug to what it is made of.
type relation uint8

const (
	hasIngredient relation = iota
	hasIngredients
	hasPrecise
	hasPart
	formOf
	consistsOf
	contains
	tradenameOf
	hasDoseForm
	hasDoseFormGroup
	isA
	relations
)

// relationOf reads RELA in either direction: the second concept of a row has the
// relationship to the first.
func relationOf(rela string) (r relation, inverse, ok bool) {
	for r, names := range [relations][2]string{{"has_ingredient", "ingredient_of"},
		{"has_ingredients", "ingredients_of"}, {"has_precise_ingredient", "precise_ingredient_of"},
		{"has_part", "part_of"},
		{"form_of", "has_form"},
		{"consists_of", "constitutes"}, {"contains", "contained_in"}, {"tradename_of", "has_tradename"},
		{"has_dose_form", "dose_form_of"}, {"has_doseformgroup", "doseformgroup_of"}, {"isa", "inverse_isa"}} {
		if rela == names[0] || rela == names[1] {
			return relation(r), rela == names[1], true
		}
	}
	return 0, false, false
}

// edge leads from one concept to another, by their places.
type edge struct {
	from, to int32
	rel      relation
}

type alias struct {
	code string
	cui  uint32
	rank uint8
}

type move struct{ from, to uint32 }

func (r *rxnorm) readAll() error {
	have := map[string]bool{}
	for _, name := range []string{consoFile, relFile, satFile, archiveFile, cuiFile} {
		n, ok, err := size(r.fsys, name)
		if err != nil {
			return err
		}
		have[name] = ok
		r.total += n
	}
	for _, name := range []string{consoFile, relFile} {
		if !have[name] {
			return fmt.Errorf("%w: it has no %s; give the folder rrf of an unpacked release", ErrRelease, name)
		}
	}
	steps := []struct {
		name    string
		columns int
		each    func([][]byte) error
	}{{consoFile, 18, r.conso}, {relFile, 16, r.rel}, {satFile, 13, r.sat}, {archiveFile, 16, r.archive},
		{cuiFile, 5, r.cui}}
	for _, s := range steps {
		if !have[s.name] {
			r.counts.missing(s.name)
			continue
		}
		if err := r.rows(s.name, s.columns, s.each); err != nil {
			return err
		}
	}
	if r.progress != nil {
		r.progress(r.total, r.total)
	}
	if len(r.concepts) == 0 {
		return fmt.Errorf("%w: %s names no concept of RxNorm's own", ErrRelease, consoFile)
	}
	r.build()
	return nil
}

// rankOf orders the values of SUPPRESS: N is not suppressed, E and Y are by editors,
// O is obsolete.
func rankOf(suppress []byte) uint8 {
	switch string(suppress) {
	case "N", "":
		return 0
	case "E":
		return 1
	case "Y":
		return 2
	}
	return 3
}

// kindOf reads a term type of RxNorm's own concepts.
func kindOf(tty []byte) (Kind, bool) {
	for k := IN; k < kinds; k++ {
		if string(tty) == kindNames[k] {
			return k, true
		}
	}
	return 0, false
}

// conso reads a name: RXCUI is column 0, RXAUI 7, SAB 11, TTY 12, CODE 13, STR 14,
// SUPPRESS 16.
func (r *rxnorm) conso(row [][]byte) error {
	switch string(row[11]) {
	case "RXNORM":
	case "ATC":
		r.counts.licensed = true
		if code, ok := rowText(row[13]); ok && isATC(code) {
			r.atc = append(r.atc, alias{code, rowNumber(row[0]), rankOf(row[16])})
		} else {
			r.counts.leave("ATC codes above substances", 1, "a class is not a drug")
		}
		return nil
	case "MTHSPL":
		r.others++
		return nil
	default:
		r.counts.licensed = true
		r.others++
		return nil
	}
	kind, ok := kindOf(row[12])
	if !ok {
		return nil // a synonym or another form of a name
	}
	c := rxConcept{cui: rowNumber(row[0]), aui: rowNumber(row[7]), kind: kind, rank: rankOf(row[16])}
	if c.display, ok = rowText(row[14]); !ok || c.cui == 0 {
		return fmt.Errorf("a concept has no RXCUI or no name")
	}
	at, there := r.byCUI[c.cui]
	if !there {
		if len(r.concepts) == maxConcepts {
			return fmt.Errorf("there are more than %d concepts", maxConcepts)
		}
		r.byCUI[c.cui] = int32(len(r.concepts))
		r.concepts = append(r.concepts, c)
		return nil
	}
	// Of several names the one that is least suppressed; then the order of files is
	// no matter.
	old := &r.concepts[at]
	if cmp.Or(cmp.Compare(c.rank, old.rank), cmp.Compare(c.kind, old.kind), cmp.Compare(c.aui, old.aui)) < 0 {
		*old = c
	}
	return nil
}

// isATC reports whether a code is one of a substance, the fifth level of ATC, such
// as C10AA01.
func isATC(code string) bool {
	if len(code) != 7 {
		return false
	}
	for i, class := range "A00AA00" {
		c := code[i]
		if class == 'A' && (c < 'A' || c > 'Z') || class == '0' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// rel reads a relationship: RXCUI1 is column 0, RXCUI2 4, RELA 7, SAB 10.
func (r *rxnorm) rel(row [][]byte) error {
	if string(row[10]) != "RXNORM" {
		return nil
	}
	rel, inverse, ok := relationOf(string(row[7]))
	if !ok {
		return nil
	}
	to, okTo := r.byCUI[rowNumber(row[0])]
	from, okFrom := r.byCUI[rowNumber(row[4])]
	if !okTo || !okFrom {
		return nil
	}
	if inverse {
		from, to = to, from
	}
	if len(r.edges) == 8*maxConcepts {
		return fmt.Errorf("there are more than %d relationships", 8*maxConcepts)
	}
	r.edges = append(r.edges, edge{from, to, rel})
	return nil
}

// sat reads an attribute: RXCUI is column 0, ATN 8, SAB 9, ATV 10, SUPPRESS 11.
func (r *rxnorm) sat(row [][]byte) error {
	name := string(row[8])
	if string(row[9]) != "RXNORM" {
		if name == "NDC" {
			r.counts.leave("NDC of other sources", 1, "RxNorm gives them in its own form too, where it has the product")
		}
		return nil
	}
	cui := rowNumber(row[0])
	if name == "NDC" {
		var buf [3]string
		if forms := ndcForms(string(row[10]), &buf); len(forms) == 1 {
			if len(r.ndc) == maxConcepts {
				return fmt.Errorf("there are more than %d NDCs", maxConcepts)
			}
			r.ndc = append(r.ndc, alias{forms[0], cui, rankOf(row[11])})
		} else {
			r.counts.leave("NDC of another form", 1, "it has not eleven digits")
		}
		return nil
	}
	at, ok := r.byCUI[cui]
	if !ok || len(row[10]) > 100 {
		return nil
	}
	s := &r.concepts[at].strength
	switch name {
	case "RXN_BOSS_STRENGTH_NUM_VALUE":
		s.num = string(row[10])
	case "RXN_BOSS_STRENGTH_NUM_UNIT":
		s.numUnit = string(row[10])
	case "RXN_BOSS_STRENGTH_DENOM_VALUE":
		s.den = string(row[10])
	case "RXN_BOSS_STRENGTH_DENOM_UNIT":
		s.denUnit = string(row[10])
	case "RXN_STRENGTH":
		s.text = string(row[10])
	case "RXN_AVAILABLE_STRENGTH":
		if s.text == "" {
			s.text = string(row[10])
		}
	}
	return nil
}

// archive reads an atom that was taken out: RXCUI is column 12, SAB 13,
// MERGED_TO_RXCUI 15.
func (r *rxnorm) archive(row [][]byte) error {
	if string(row[13]) != "RXNORM" {
		return nil
	}
	return r.move(rowNumber(row[12]), rowNumber(row[15]))
}

// cui reads a retired concept: CUI1 is column 0, CUI2 4.
func (r *rxnorm) cui(row [][]byte) error { return r.move(rowNumber(row[0]), rowNumber(row[4])) }

func (r *rxnorm) move(from, to uint32) error {
	if from == 0 || to == 0 || from == to {
		return nil
	}
	if _, ok := r.byCUI[from]; ok {
		return nil // it is still there
	}
	if len(r.moved) == 2*maxConcepts {
		return fmt.Errorf("there are more than %d retired codes", 2*maxConcepts)
	}
	r.moved = append(r.moved, move{from, to})
	return nil
}

// build puts what was read into the builder.
func (r *rxnorm) build() {
	slices.SortFunc(r.edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rel, b.rel),
			cmp.Compare(r.concepts[a.to].cui, r.concepts[b.to].cui))
	})
	r.edges = slices.Compact(r.edges)
	order := make([]int32, len(r.concepts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(r.concepts[a].cui, r.concepts[b].cui) })
	for _, pass := range []func(Kind) bool{ // what others refer to comes first
		func(k Kind) bool { return k == DFG },
		func(k Kind) bool { return k == DF },
		func(k Kind) bool { return k == IN },
		func(k Kind) bool { return !k.isForm() && k != IN },
	} {
		for _, at := range order {
			if c := &r.concepts[at]; pass(c.kind) {
				r.add(at, c)
			}
		}
	}
	r.aliases(ATC, "ATC", r.atc)
	r.aliases(NDC, "NDC", r.ndc)
	r.remap()
	if r.others > 0 {
		r.counts.leave("names of other sources", r.others, "only RxNorm's own concepts are taken")
	}
}

func (r *rxnorm) add(at int32, c *rxConcept) {
	what := c.kind.String()
	if c.rank == 3 {
		what += ", obsolete"
	}
	it := Item{System: RxNorm, Code: strconv.Itoa(int(c.cui)), Display: c.display, Kind: c.kind}
	if c.rank == 3 {
		it.Status = Obsolete
	}
	switch c.kind {
	case DFG:
	case DF:
		for _, g := range r.to(at, isA) {
			if group := &r.concepts[g]; group.kind == DFG && group.item > 0 && len(it.Parts) < maxParts {
				it.Parts = append(it.Parts, int(group.item-1))
			}
		}
	case IN:
	default:
		parts := r.resolve(at, 0)
		if len(parts) == 0 {
			r.counts.leave(what, 1, "the release does not lead to all of its ingredients")
			return
		}
		if len(parts) > maxParts {
			r.counts.leave(what, 1, fmt.Sprintf("it has more than %d ingredients", maxParts))
			return
		}
		for _, in := range parts {
			it.Parts = append(it.Parts, int(r.concepts[in].item-1))
		}
		it.Form = r.form(at, 0)
		it.Strengths = r.strengths(at)
		if len(it.Strengths) > 0 {
			r.counts.keep("drugs with strengths", 1)
		}
		if it.Form > 0 {
			r.counts.keep("drugs with dose forms", 1)
		}
	}
	c.item = int32(r.builder.Add(it) + 1)
	r.counts.keep(what, 1)
}

// to returns where a relationship leads.
func (r *rxnorm) to(from int32, rel relation) []int32 {
	i, _ := slices.BinarySearchFunc(r.edges, edge{from: from, rel: rel}, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rel, b.rel))
	})
	var out []int32
	for ; i < len(r.edges) && r.edges[i].from == from && r.edges[i].rel == rel; i++ {
		out = append(out, r.edges[i].to)
	}
	return out
}

// paths are, for each kind, the relationships that lead towards ingredients. The first
// that leads anywhere decides: a brand name stands for all its products and is asked
// last.
var paths = [kinds][]relation{
	PIN:   {formOf},
	MIN:   {hasPart},
	BN:    {tradenameOf},
	SCDC:  {hasIngredient, hasPrecise},
	SBDC:  {tradenameOf, consistsOf, hasIngredient},
	SCDF:  {hasIngredient, hasIngredients, hasPrecise},
	SBDF:  {tradenameOf, hasIngredient},
	SCDFP: {hasPrecise, hasIngredient, isA},
	SBDFP: {tradenameOf, isA, hasIngredient},
	SCDG:  {hasIngredient, hasIngredients, hasPrecise},
	SBDG:  {tradenameOf, hasIngredient},
	SCDGP: {hasPrecise, hasIngredient, isA},
	SCD:   {consistsOf, hasIngredients, isA, hasIngredient},
	SBD:   {tradenameOf, consistsOf, isA, hasIngredient},
	GPCK:  {contains},
	BPCK:  {contains, tradenameOf},
}

// maxSteps bounds the way from a concept to its ingredients; a pack of brands needs six.
const maxSteps = 12

const (
	open uint8 = iota
	under
	done
)

// resolve returns the ingredients of a concept, sorted by code, or none if one of the
// ways does not lead to one: a drug that is known in part is not known.
func (r *rxnorm) resolve(at int32, depth int) []uint32 {
	c := &r.concepts[at]
	switch {
	case c.kind == IN:
		return []uint32{uint32(at)}
	case c.kind.isForm(), c.state == under, depth > maxSteps:
		return nil
	case c.state == done:
		return c.parts
	}
	c.state = under
	var found []uint32
	for _, rel := range paths[c.kind] {
		next := r.to(at, rel)
		if len(next) == 0 {
			continue
		}
		found = found[:0]
		for _, n := range next {
			parts := r.resolve(n, depth+1)
			if len(parts) == 0 {
				found = nil
				break
			}
			found = append(found, parts...)
		}
		break
	}
	slices.SortFunc(found, func(a, b uint32) int { return cmp.Compare(r.concepts[a].cui, r.concepts[b].cui) })
	c.parts, c.state = slices.Compact(found), done
	return c.parts
}

// form returns the dose form of a drug, as an item plus one, or the group of dose forms
// of those that have only that.
func (r *rxnorm) form(at int32, depth int) int {
	for _, rel := range []relation{hasDoseForm, hasDoseFormGroup} {
		if forms := r.to(at, rel); len(forms) == 1 && r.concepts[forms[0]].kind.isForm() {
			return int(r.concepts[forms[0]].item)
		}
	}
	if generics := r.to(at, tradenameOf); len(generics) == 1 && depth < maxSteps {
		return r.form(generics[0], depth+1)
	}
	return 0
}

// strengths returns what the components of a drug hold. What cannot be read, or is
// given twice for an ingredient in ways that cannot be added up, is left out.
func (r *rxnorm) strengths(at int32) []Amount {
	c := &r.concepts[at]
	components := []int32{at}
	switch c.kind {
	case SCDC:
	case SCD, SBD, SBDC:
		if generics := r.to(at, tradenameOf); len(generics) == 1 {
			at = generics[0]
		}
		if components = r.to(at, consistsOf); len(components) == 0 && len(c.parts) == 1 {
			components = []int32{at} // its own attribute, which names no ingredient
		}
	default:
		return nil
	}
	var out []Amount
	unclear := map[int]bool{}
	for _, n := range components {
		component := &r.concepts[n]
		parts := r.resolve(n, 0)
		if len(parts) != 1 || r.concepts[parts[0]].item == 0 {
			continue
		}
		s, ok := component.strength.read(component.display)
		if !ok {
			r.counts.leave("strengths", 1, "no number and unit that can be read")
			continue
		}
		s.Ingredient = int(r.concepts[parts[0]].item - 1)
		i := slices.IndexFunc(out, func(a Amount) bool { return a.Ingredient == s.Ingredient })
		switch {
		case i < 0:
			out = append(out, s)
		case !out[i].add(s):
			unclear[s.Ingredient] = true
		}
	}
	return slices.DeleteFunc(out, func(a Amount) bool { return unclear[a.Ingredient] })
}

// aliases adds the codes of another system. A code of two concepts counts if they have
// the same ingredients, for the one with the lower number; codes that are not
// suppressed go before those that are.
func (r *rxnorm) aliases(system, name string, list []alias) {
	slices.SortFunc(list, func(a, b alias) int {
		return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.rank, b.rank), cmp.Compare(a.cui, b.cui))
	})
	for i := 0; i < len(list); {
		j := i + 1
		for j < len(list) && list[j].code == list[i].code {
			j++
		}
		same := list[i:j]
		i = j
		for n := 1; n < len(same); n++ {
			if same[n].rank > same[0].rank {
				same = same[:n]
				break
			}
		}
		item, why := r.one(same)
		if why != "" {
			r.counts.leave(name+" codes", 1, why)
			continue
		}
		r.builder.Alias(system, same[0].code, item, false)
		r.counts.keep(name+" codes", 1)
	}
}

// one returns the one item that several aliases may stand for, or why there is none.
func (r *rxnorm) one(same []alias) (item int, why string) {
	item = -1
	for _, a := range same {
		at, ok := r.byCUI[a.cui]
		if !ok || r.concepts[at].item == 0 || r.concepts[at].kind.isForm() {
			continue
		}
		n := int(r.concepts[at].item - 1)
		switch {
		case item < 0:
			item = n
		case !slices.Equal(r.builder.Item(item).Parts, r.builder.Item(n).Parts) || len(r.builder.Item(n).Parts) == 0:
			if item != n {
				return 0, "it stands for drugs with different ingredients"
			}
		}
	}
	if item < 0 {
		return 0, "its concept is not in the pack"
	}
	return item, ""
}

// remap adds the codes that were retired in favour of another.
func (r *rxnorm) remap() {
	targets := map[uint32][]uint32{}
	for _, m := range r.moved {
		targets[m.from] = append(targets[m.from], m.to)
	}
	for _, from := range slices.Sorted(maps.Keys(targets)) {
		ends, seen := []alias(nil), map[uint32]bool{from: true}
		for next := targets[from]; len(next) > 0 && len(seen) < 64; {
			var further []uint32
			for _, to := range next {
				if seen[to] {
					continue
				}
				seen[to] = true
				if _, ok := r.byCUI[to]; ok {
					ends = append(ends, alias{cui: to})
				} else {
					further = append(further, targets[to]...)
				}
			}
			next = further
		}
		slices.SortFunc(ends, func(a, b alias) int { return cmp.Compare(a.cui, b.cui) })
		item, why := r.one(ends)
		if why != "" {
			r.counts.leave("retired codes", 1, why)
			continue
		}
		r.builder.Alias(RxNorm, strconv.Itoa(int(from)), item, true)
		r.counts.keep("retired codes", 1)
	}
}
