package decide

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
)

// Replay is a decision made again from its record, compared with what was
// recorded.
type Replay struct {
	Same        bool         `json:"same"` // findings and response are the same bytes
	Differences []Difference `json:"differences,omitempty"`
	Decision    *decision.Decision
}

// Difference is one place where the second decision is another.
type Difference struct {
	Rule    string `json:"rule,omitempty"` // "pack/rule"; empty for the response as a whole
	Subject string `json:"subject,omitempty"`
	Was     string `json:"was"`
	Is      string `json:"is"`
}

// String says the difference in one line.
func (d Difference) String() string {
	if d.Rule == "" {
		return fmt.Sprintf("response: was %s, is %s", d.Was, d.Is)
	}
	return fmt.Sprintf("%s on %s: was %s, is %s", d.Rule, decision.ShortRef(d.Subject), d.Was, d.Is)
}

// Replay decides again with the inputs of a record and compares with the
// decision that was recorded, byte by byte. It never times anything: the pairs
// that were cut then are cut again. Materials made from a release log refuse a
// record that names anything but what the log says was live ([ErrNotLive]).
func (m *Materials) Replay(ctx context.Context, in *decision.Inputs, recorded *decision.Decision) (*Replay, error) {
	if m.history != nil {
		if err := m.history.confirm(ctx, m, in); err != nil {
			return nil, fmt.Errorf("replaying record %s: %w", in.RecordID, err)
		}
	}
	again, err := m.Decide(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("replaying record %s: %w", in.RecordID, err)
	}
	return Compare(recorded, again)
}

// Compare compares two decisions of one call.
func Compare(was, is *decision.Decision) (*Replay, error) {
	a, err := decision.EncodeDecision(was)
	if err != nil {
		return nil, err
	}
	b, err := decision.EncodeDecision(is)
	if err != nil {
		return nil, err
	}
	r := &Replay{Same: bytes.Equal(a, b) && bytes.Equal(was.Response, is.Response), Decision: is}
	if r.Same {
		return r, nil
	}
	r.Differences = differences(was.Findings, is.Findings)
	if !bytes.Equal(was.Response, is.Response) {
		r.Differences = append(r.Differences, Difference{Was: fmt.Sprintf("%d bytes", len(was.Response)),
			Is: fmt.Sprintf("%d bytes, not the same", len(is.Response))})
	}
	if len(r.Differences) == 0 {
		r.Differences = []Difference{{Was: "notes of the decision", Is: "not the same"}}
	}
	return r, nil
}

func differences(was, is []decision.Finding) []Difference {
	var out []Difference
	for i := range was {
		w := &was[i]
		j := slices.IndexFunc(is, func(f decision.Finding) bool { return f.Rule == w.Rule && f.Subject == w.Subject })
		if j < 0 {
			out = append(out, Difference{w.Rule, w.Subject, findingText(w), "not asked"})
		} else if a, b := findingText(w), findingText(&is[j]); a != b {
			out = append(out, Difference{w.Rule, w.Subject, a, b})
		} else if !sameFinding(w, &is[j]) {
			out = append(out, Difference{w.Rule, w.Subject, a, b + ", with other facts"})
		}
	}
	for i := range is {
		f := &is[i]
		if !slices.ContainsFunc(was,
			func(w decision.Finding) bool { return f.Rule == w.Rule && f.Subject == w.Subject }) {
			out = append(out, Difference{f.Rule, f.Subject, "not asked", findingText(f)})
		}
	}
	return out
}

func sameFinding(a, b *decision.Finding) bool {
	x, errX := decision.EncodeDecision(&decision.Decision{Findings: []decision.Finding{*a}})
	y, errY := decision.EncodeDecision(&decision.Decision{Findings: []decision.Finding{*b}})
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// findingText says a finding in a few words: the outcome and the values it
// rests on.
func findingText(f *decision.Finding) string {
	var values fact.Distinct[string]
	f.Fact.Walk(func(x *fact.Fact) {
		for _, v := range x.Values {
			values.Add(" (" + v.Name + " " + v.String() + ")")
		}
	})
	return string(f.Outcome) + strings.Join(values.List, "")
}
