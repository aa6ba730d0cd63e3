package workbench

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/precept-cds/precept/engine/clinical"
)

// Capabilities writes what rules may use as an OPA capabilities file, so that
// editors, opa check and opa fmt know the library.
func Capabilities(w io.Writer) error {
	// The evaluator's types bring their own encoding/json methods.
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(clinical.Newest().Capabilities()); err != nil {
		return fmt.Errorf("writing capabilities: %w", err)
	}
	return nil
}
