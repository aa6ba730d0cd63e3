package cdshooks

import (
	"errors"
	"strings"
	"testing"
)

func good() Card {
	return Card{Summary: "Do not give", Indicator: Critical, Source: Source{Label: "FDA"}}
}

func TestCheckCard(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Card)
		ok     bool
	}{
		{"plain", func(*Card) {}, true},
		{"139 characters of several bytes", func(c *Card) { c.Summary = strings.Repeat("µ", 139) }, true},
		{"140 characters", func(c *Card) { c.Summary = strings.Repeat("a", 140) }, false},
		{"no summary", func(c *Card) { c.Summary = "" }, false},
		{"indicator hard-stop", func(c *Card) { c.Indicator = "hard-stop" }, false},
		{"no source", func(c *Card) { c.Source.Label = "" }, false},
		{"suggestion without behaviour", func(c *Card) { c.Suggestions = []Suggestion{{Label: "x"}} }, false},
		{"behaviour without suggestion", func(c *Card) { c.SelectionBehavior = "any" }, false},
		{"delete without id", func(c *Card) {
			c.SelectionBehavior = "any"
			c.Suggestions = []Suggestion{{Label: "x", Actions: []Action{{Type: "delete", Description: "x"}}}}
		}, false},
		{"delete", func(c *Card) {
			c.SelectionBehavior = "any"
			c.Suggestions = []Suggestion{{Label: "x",
				Actions: []Action{{Type: "delete", Description: "x", ResourceID: "MedicationRequest/1"}}}}
		}, true},
		{"override reason without display", func(c *Card) { c.OverrideReasons = []Coding{{Code: "a", System: "b"}} },
			false},
		{"relative link", func(c *Card) {
			c.Links = []Link{{Label: "x", URL: "https://x.example", Type: "relative"}}
		}, false},
	} {
		card := good()
		c.change(&card)
		if err := card.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrCard) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestMarshalEmpty(t *testing.T) {
	for _, r := range []Response{{}, {Cards: []Card{}}} {
		b, err := r.Marshal()
		if err != nil || string(b) != `{"cards":[]}` {
			t.Errorf("%s, %v", b, err)
		}
	}
	b, err := Response{Cards: []Card{good()}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{"null", `""`, "[]", "{}"} {
		if strings.Contains(string(b), forbidden) {
			t.Errorf("%s holds %s", b, forbidden)
		}
	}
}
