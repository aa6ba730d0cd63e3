package rulepacks

import (
	"errors"
	"slices"
	"testing"
)

func TestFillTemplate(t *testing.T) {
	errNone := errors.New("there is none")
	value := func(name string) (string, error) {
		if v, ok := map[string]string{"a": "1", "b": "{a}", "": "empty"}[name]; ok {
			return v, nil
		}
		return "", errNone
	}
	for _, tt := range []struct{ template, want string }{
		{"", ""}, {"plain", "plain"}, {"{a}", "1"}, {"x {a} y {a} z", "x 1 y 1 z"}, {"{b}", "{a}"}, {"a } b", "a } b"},
		{"{}", "empty"},
	} {
		if got, err := FillTemplate(tt.template, value); err != nil || got != tt.want {
			t.Errorf("FillTemplate(%q) = %q, %v", tt.template, got, err)
		}
	}
	if _, err := FillTemplate("a {b", value); err == nil {
		t.Error("{ without } was accepted")
	}
	if _, err := FillTemplate("{c}", value); !errors.Is(err, errNone) {
		t.Errorf("unknown name: %v", err)
	}
}

func TestPlaceholders(t *testing.T) {
	got, err := Placeholders("{b} {a} } {b} {}")
	if want := []string{"", "a", "b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := Placeholders("{a} {"); err == nil {
		t.Error("{ without } was accepted")
	}
}
