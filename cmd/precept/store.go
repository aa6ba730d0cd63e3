package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/bolt"
)

// boltStore is the kind of the embedded store.
const boltStore = "bolt"

// openStore opens the store of a region, and says how to close it. Read-only it
// changes nothing, and makes nothing that does not exist.
func openStore(c storeConfig, readOnly bool) (_ audit.Store, closeStore func() error, _ error) {
	switch c.Kind {
	case boltStore:
		if !readOnly {
			if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
				return nil, nil, fmt.Errorf("making the store's folder: %w", err)
			}
		}
		s, err := bolt.Open(c.Path, bolt.Options{ReadOnly: readOnly, MaxSize: c.MaxBytes})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	default:
		return nil, nil, fmt.Errorf("opening store: unknown kind %q; the known kinds are: %s (%w)", c.Kind, boltStore,
			errConfig)
	}
}
