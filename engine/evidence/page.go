package evidence

import (
	_ "embed" // for the page
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/safetext"
)

//go:embed page.html
var pageText string

// The page has no script and asks for nothing from elsewhere. Values are escaped for where they stand by html/template;
// what turns the reading direction around or hides characters is made visible before.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"line": func(v any) string { return safetext.Line(fmt.Sprint(v)) },
	"text": safetext.Text,
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
	"class": func(o Outcome) string {
		if o == NotPossible {
			return "not"
		}
		return string(o)
	},
	"indicator": func(i cdshooks.Indicator) string {
		if i.Rank() > cdshooks.Info.Rank() {
			return "other"
		}
		return string(i)
	},
}).Parse(pageText))

// page is what the template shows.
type page struct {
	*Result
	Heading, Patient, Explained, Request, Other string
	Cards                                       []cdshooks.Card
}

// WritePage writes what was found as a page for people. With the record's body it is about a patient, as the file is.
func (r *Result) WritePage(w io.Writer) error {
	p := page{Result: r, Heading: r.Verdict.heading()}
	switch {
	case r.Manifest.Body == Included && r.Body == nil:
		p.Patient = "in the file, and not shown: they do not hold"
	case r.Manifest.Body == Included:
		p.Patient = "in the file and on this page"
	case r.Manifest.Body == Erased:
		p.Patient = "erased"
	default:
		p.Patient = "not in the file"
	}
	if r.Decision != nil {
		var b strings.Builder
		if err := decide.Explain(r.Inputs, r.Decision).WriteText(&b); err != nil {
			return fmt.Errorf("writing page: %w", err)
		}
		p.Explained, p.Request = b.String(), string(r.Inputs.Request)
		var resp cdshooks.Response
		if err := jsonv2.Unmarshal(r.Decision.Response, &resp); err != nil {
			p.Other = "The answer cannot be read: " + string(r.Decision.Response)
		}
		p.Cards = resp.Cards
	} else if r.Kind != audit.Decision {
		p.Other = string(r.Body)
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	return nil
}

// heading is the verdict as a sentence.
func (v Verdict) heading() string {
	switch v {
	case Holds:
		return "The evidence holds."
	case DoesNot:
		return "The evidence does NOT hold."
	}
	return "Whether the evidence holds cannot be told."
}
