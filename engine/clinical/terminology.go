package clinical

import (
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/terminology"
	"github.com/precept-cds/precept/rulepacks"
)

// Terminology is one release of drugs, in the form charts look drugs up in.
type Terminology struct {
	pack  *rulepacks.Pack
	table *terminology.Table
	chart *chart.Terminology
}

// NewTerminology makes a terminology pack ready for use. The error is
// [terminology.ErrTable].
func NewTerminology(pack *rulepacks.Pack) (*Terminology, error) {
	var table *terminology.Table
	var err error
	if t := pack.Terminology; t.Table == nil {
		table, err = terminology.FromProducts(t)
	} else if table, err = terminology.Open(t.Table); err == nil {
		err = table.IsOf(t)
	}
	if err != nil {
		return nil, err
	}
	return &Terminology{pack: pack, table: table, chart: chart.OpenTerminology(table)}, nil
}

// Pack returns the pack it came from.
func (t *Terminology) Pack() *rulepacks.Pack { return t.pack }

// Table returns the codes of the release.
func (t *Terminology) Table() *terminology.Table { return t.table }

// Chart returns the look-up for charts; nil for no terminology.
func (t *Terminology) Chart() *chart.Terminology {
	if t == nil {
		return nil
	}
	return t.chart
}

// CodeMap is what the local codes of a tenant mean, in the form charts look them up in.
type CodeMap struct {
	pack  *rulepacks.Pack
	chart *chart.CodeMap
}

// NewCodeMap makes a pack of kind codemap ready for use.
func NewCodeMap(pack *rulepacks.Pack) *CodeMap {
	return &CodeMap{pack: pack, chart: chart.NewCodeMap(pack.CodeMap)}
}

// Pack returns the pack it came from.
func (m *CodeMap) Pack() *rulepacks.Pack { return m.pack }

// Chart returns the look-up for charts; nil for no code map.
func (m *CodeMap) Chart() *chart.CodeMap {
	if m == nil {
		return nil
	}
	return m.chart
}
