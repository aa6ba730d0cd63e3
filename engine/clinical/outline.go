package clinical

import (
	"slices"
	"strings"

	"github.com/precept-cds/precept/rulepacks"
)

// Outline reads the rules of a pack from their metadata alone: which there are, when each is asked, how
// urgent it is. It needs no version of the library, so a pack that cannot be run still names what is not
// checked. The error is of type [Problems].
func Outline(pack *rulepacks.Pack) ([]*Rule, error) {
	r := newReader(pack)
	r.parse()
	for _, file := range r.files() {
		r.metadata(file, r.code.Modules[file])
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	slices.SortFunc(r.code.Rules, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
	return r.code.Rules, nil
}
