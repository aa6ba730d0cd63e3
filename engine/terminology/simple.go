package terminology

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/precept-cds/precept/rulepacks/vocab"
)

// columns of a simple table. The first row names them, in any order; only the first
// three must be there.
var columns = []string{"system", "code", "display", "ingredients", "form", "strength", "status"}

// row is one row of a simple table.
type row struct {
	line int
	text map[string]string
}

// ReadTable reads a simple table of drug codes, CSV or, if tabs is set, TSV, into a
// builder. It has the columns system, code, display, ingredients, form, strength and
// status:
//
//   - system is the URI of the code system, as FHIR writes it;
//   - ingredients are codes of rows of the table, or of what is in the builder, between
//     ";". A bare code is of the row's system; another is written as URI|code. A row
//     without any is an ingredient itself;
//   - form is a word of rule packs, such as oral, or the dose form in the publisher's
//     words;
//   - strength is one for each ingredient, in their order, between ";", in units of
//     UCUM: "500 mg" or "250 mg/5 mL"; empty where it is not known;
//   - status is active or obsolete, active if empty.
//
// The error is [ErrRelease] with the line, or that of ctx. Products of which an
// ingredient is not known are left out and counted.
func ReadTable(ctx context.Context, r io.Reader, tabs bool, b *Builder, counts *Counts) error {
	rows, err := readRows(ctx, r, tabs)
	if err != nil {
		return err
	}
	t := &simple{Builder: b, counts: counts, at: map[[2]string]int{}, forms: map[[2]string]int{}}
	for i, c := range b.codes {
		if it := b.items[c.item]; !it.Kind.isForm() {
			t.at[[2]string{c.system, c.code}] = b.codes[i].item
		}
	}
	for _, ingredients := range []bool{true, false} { // products refer to them
		for _, x := range rows {
			if (x.text["ingredients"] == "") != ingredients {
				continue
			}
			if err := t.add(x); err != nil {
				return fmt.Errorf("reading table, line %d: %w: %w", x.line, ErrRelease, err)
			}
		}
	}
	return nil
}

// readRows reads the rows of a table by the names of their columns.
func readRows(ctx context.Context, r io.Reader, tabs bool) ([]row, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	if tabs {
		c.Comma, c.LazyQuotes = '\t', true
	}
	var head []string
	var rows []row
	for {
		record, err := c.Read()
		line := 0
		if err == nil {
			line, _ = c.FieldPos(0)
		}
		var bad *csv.ParseError
		switch {
		case err == io.EOF:
			if head == nil {
				return nil, fmt.Errorf("reading table: %w: it is empty", ErrRelease)
			}
			return rows, nil
		case errors.As(err, &bad):
			return nil, fmt.Errorf("reading table, line %d: %w: %w", bad.Line, ErrRelease, bad.Err)
		case err != nil:
			return nil, fmt.Errorf("reading table: %w", err)
		case head == nil:
			if head, err = readHead(record); err != nil {
				return nil, fmt.Errorf("reading table, line %d: %w: %w", line, ErrRelease, err)
			}
			continue
		case len(rows) == maxConcepts:
			return nil, fmt.Errorf("reading table, line %d: %w: there are more than %d rows", line, ErrRelease,
				maxConcepts)
		case len(rows)%20_000 == 0 && ctx.Err() != nil:
			return nil, fmt.Errorf("reading table: %w", ctx.Err())
		}
		x := row{line: line, text: make(map[string]string, len(head))}
		for i, name := range head {
			if text, ok := rowText([]byte(strings.TrimSpace(record[i]))); ok {
				x.text[name] = text
			} else if strings.TrimSpace(record[i]) != "" {
				return nil, fmt.Errorf("reading table, line %d: %w: column %s is no text of at most 4000 bytes", line,
					ErrRelease, name)
			}
		}
		rows = append(rows, x)
	}
}

func readHead(record []string) ([]string, error) {
	head := make([]string, len(record))
	for i, name := range record {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if !slices.Contains(columns, name) || slices.Contains(head[:i], name) {
			return nil, fmt.Errorf("column %q is not one of %s, or is there twice", name, strings.Join(columns, ", "))
		}
		head[i] = name
	}
	for _, name := range columns[:3] {
		if !slices.Contains(head, name) {
			return nil, fmt.Errorf("column %s is missing; the first row names the columns", name)
		}
	}
	return head, nil
}

// simple puts rows into a builder.
type simple struct {
	*Builder
	counts *Counts
	at     map[[2]string]int // system and code to item
	forms  map[[2]string]int // system and name to item
}

func (t *simple) add(x row) error {
	system, code := x.text["system"], x.text["code"]
	if what, hint := vocab.SystemProblem(system); what != "" {
		return fmt.Errorf("%s; %s", what, hint)
	}
	if !vocab.IsCode(code) || x.text["display"] == "" {
		return errors.New("code or display is missing")
	}
	key := [2]string{system, code}
	if _, twice := t.at[key]; twice {
		return fmt.Errorf("code %q is there twice", code)
	}
	it := Item{System: system, Code: code, Display: x.text["display"], Kind: Ingredient}
	switch x.text["status"] {
	case "", "active":
	case "obsolete":
		it.Status = Obsolete
	default:
		return errors.New("status must be active or obsolete")
	}
	if x.text["ingredients"] != "" {
		it.Kind = Product
		missing, err := t.ingredients(&it, x)
		if err != nil {
			return err
		}
		if missing {
			t.counts.leave("products of "+system, 1, "an ingredient is not in the pack")
			return nil
		}
		if len(it.Parts) > maxParts {
			return fmt.Errorf("there are more than %d ingredients", maxParts)
		}
		t.form(&it, x.text["form"])
	}
	t.at[key] = t.Add(it)
	t.counts.keep(it.Kind.String()+"s of "+system, 1)
	return nil
}

// ingredients reads the ingredients and strengths of a product; missing reports that
// one is not known.
func (t *simple) ingredients(it *Item, x row) (missing bool, err error) {
	codes := strings.Split(x.text["ingredients"], ";")
	if len(codes) > maxParts {
		return false, fmt.Errorf("there are more than %d ingredients", maxParts)
	}
	var strengths []string
	if x.text["strength"] != "" {
		if strengths = strings.Split(x.text["strength"], ";"); len(strengths) != len(codes) {
			return false, fmt.Errorf("there are %d ingredients and %d strengths", len(codes), len(strengths))
		}
	}
	for i, code := range codes {
		system, own, other := strings.Cut(strings.TrimSpace(code), "|")
		if !other {
			system, own = it.System, system
		}
		in, ok := t.at[[2]string{system, own}]
		if !ok {
			return true, nil
		}
		parts := []int{in}
		if p := t.items[in].Parts; len(p) > 0 { // a salt or a combination stands for what it is made of
			parts = p
		}
		it.Parts = append(it.Parts, parts...)
		if i >= len(strengths) || strings.TrimSpace(strengths[i]) == "" {
			continue
		}
		a, ok := parseStrength(strengths[i], nil)
		if !ok || len(parts) > 1 {
			return false, fmt.Errorf("strength %q cannot be read", strings.TrimSpace(strengths[i]))
		}
		a.Ingredient = parts[0]
		it.Strengths = append(it.Strengths, a)
	}
	return false, nil
}

// form notes the dose form of a product: a word of rule packs, or a concept with the
// publisher's name.
func (t *simple) form(it *Item, form string) {
	if slices.Contains(Routes, form) {
		it.Route = form
		return
	}
	key := [2]string{it.System, form}
	if t.forms[key] == 0 {
		t.forms[key] = t.Add(Item{System: it.System, Display: form, Kind: DF}) + 1
	}
	it.Form = t.forms[key]
}
