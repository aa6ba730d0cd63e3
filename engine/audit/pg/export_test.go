package pg

import (
	"context"
	"io/fs"
)

// MigrateFrom is Migrate with the steps of files, up to a version.
func MigrateFrom(ctx context.Context, url string, files fs.FS, upTo int, roles Roles) (applied int, err error) {
	list, err := migrations(files)
	if err != nil {
		return 0, err
	}
	_, grants := embedded()
	if upTo == 0 {
		grants, roles = "", Roles{}
	}
	err = migrateTo(ctx, url, list[:min(upTo, len(list))], grants, roles, func(int, string) { applied++ })
	return applied, err
}

// Embedded are the migrations of this program.
func Embedded() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err)
	}
	return files
}

// NewestVersion is that of the schema that this program needs.
func NewestVersion() int { return newestVersion() }

// Local says whether a URL without sslmode is taken.
func Local(url string) error {
	_, err := settings(url, false)
	return err
}

// Epoch is that of the writer.
func (s *Store) Epoch() int64 { return s.epoch.Load() }

// SetLeastVersion makes servers too old.
func SetLeastVersion(v int) (restore func()) {
	was := leastVersion
	leastVersion = v
	return func() { leastVersion = was }
}
