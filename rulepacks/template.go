package rulepacks

import (
	"errors"
	"slices"
	"strings"
)

// FillTemplate replaces every {name} of a template with what value gives for it.
// A name is all that stands between the braces; there is no way to write a
// literal {. Errors are those of value, or say that a { is not closed.
func FillTemplate(template string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	b.Grow(len(template) + 64)
	for {
		before, rest, ok := strings.Cut(template, "{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", errors.New("the template has { without }")
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		template = after
	}
}

// Placeholders returns the names that [FillTemplate] would ask for, each once,
// sorted, and its error if the template cannot be filled.
func Placeholders(template string) ([]string, error) {
	names := []string{}
	_, err := FillTemplate(template, func(name string) (string, error) {
		names = append(names, name)
		return "", nil
	})
	slices.Sort(names)
	return slices.Compact(names), err
}
