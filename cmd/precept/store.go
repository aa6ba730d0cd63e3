package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/bolt"
	"github.com/precept-cds/precept/engine/audit/pg"
)

// The kinds of stores.
const (
	boltStore     = "bolt"     // a file of this process
	postgresStore = "postgres" // a database that any number of processes share
)

// checkKind says what a store's configuration lacks.
func (c *storeConfig) checkKind() error {
	switch {
	case c.Kind == boltStore && c.Path == "":
		return fmt.Errorf("store.path is required; see docs/configuration.md (%w)", errConfig)
	case c.Kind == postgresStore && c.URL == "":
		return fmt.Errorf("store.url is required with store.kind %s; see docs/configuration.md (%w)", c.Kind, errConfig)
	case c.Kind == postgresStore && c.Path != "", c.Kind == boltStore && c.URL != "":
		return fmt.Errorf("store.path is for store.kind %s, store.url for %s (%w)", boltStore, postgresStore, errConfig)
	}
	return nil // openStore refuses an unknown kind
}

// given is the store that a command line names by its path: a URL says by itself what it is.
func (c storeConfig) given() storeConfig {
	if pg.IsURL(c.Path) {
		c.Kind = postgresStore
	}
	if c.Kind == postgresStore {
		c.Path, c.URL = "", c.Path
	}
	return c
}

// openStore opens the store of a region, and says how to close it. Read-only it
// changes nothing, and makes nothing that does not exist.
func openStore(ctx context.Context, c storeConfig, readOnly bool) (_ audit.Store, closeStore func() error, _ error) {
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
	case postgresStore:
		url, err := pg.ReadURL(c.URL)
		if err != nil {
			return nil, nil, err
		}
		s, err := pg.Open(ctx, url, pg.Options{ReadOnly: readOnly, MaxSize: int64(c.MaxBytes),
			Connections: c.Connections})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	default:
		return nil, nil, fmt.Errorf("opening store: unknown kind %q; the known kinds are: %s, %s (%w)", c.Kind,
			boltStore, postgresStore, errConfig)
	}
}

func storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "make the database of a region ready",
		Long: `Store is for stores in PostgreSQL (docs/operating.md). The file of the embedded store is made by the
service that opens it.`,
	}
	return group(c, storeMigrate())
}

// migrateTime is how long migrations may take.
const migrateTime = time.Hour

func storeMigrate() *cobra.Command {
	var store string
	var roles pg.Roles
	c := &cobra.Command{
		Use:   "migrate --store URL|FILE --service ROLE",
		Short: "bring the schema of a database to what this program needs",
		Long: `Migrate connects as the role that owns the schema precept, or that is to own it, takes the steps that the
schema lacks, and gives the roles their privileges. Steps only add: nodes of the version before go on serving meanwhile
and afterwards. Run it before the first start of a new version; run again it changes nothing.

The URL has no password in it: the process list would show it. Name a file that has the URL, or use a password file
(PGPASSFILE).`,
		Example: "  precept store migrate --store postgres://keeper@db.example/precept?sslmode=verify-full " +
			"--service precept",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := pg.ReadURL(store)
			if err != nil {
				return err
			}
			ctx, stop := context.WithTimeout(cmd.Context(), migrateTime)
			defer stop()
			out := stdout(cmd)
			return pg.Migrate(ctx, url, roles, func(version int, name string) {
				out.line("applied  %d %s", version, name)
			})
		},
	}
	c.Flags().StringVar(&store, "store", "", "URL of the database without a password, or a file that has the URL")
	c.Flags().StringVar(&roles.Service, "service", "", "role that precept serve connects as; it must exist")
	c.Flags().StringVar(&roles.Retention, "retention", "",
		"role that may remove what its time is over for; it must exist")
	require(c, "store", "service")
	return c
}
