package audittest

import (
	"testing"

	"github.com/precept-cds/precept/engine/audit"
)

func TestMemory(t *testing.T) {
	stores := map[string]*Memory{}
	Run(t, func(t *testing.T, name string) audit.Store {
		if stores[name] == nil {
			stores[name] = NewMemory(t)
		}
		return stores[name]
	})
}
