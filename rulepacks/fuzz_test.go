package rulepacks

import (
	"bytes"
	"testing"

	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
)

// What is accepted is the canonical archive of what was read, byte for byte.
func FuzzReadArchive(f *testing.F) {
	good := sample(f).Archive()
	f.Add(good)
	f.Add(zip(good))
	f.Add(insert(f, entry{name: "rules/x.rego", flag: '2', edit: link("/etc/passwd")}))
	f.Add(rawTar(entry{name: "NOTICE", data: "x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadArchive(bytes.NewReader(data), Limits{Compressed: 1 << 20, Expanded: 4 << 20, Entries: 100})
		if err != nil {
			packtest.Fit(t, err)
			return
		}
		if packed := data[0] == 0x1f; !packed && !bytes.Equal(p.Archive(), data) {
			t.Fatal("an archive was accepted that is not the canonical one")
		}
		q, err := ReadArchive(bytes.NewReader(p.Archive()), Limits{})
		if err != nil || q.Digest != p.Digest || q.DirHash1 != p.DirHash1 {
			t.Fatalf("reading the archive again: %v", err)
		}
		p.Lint()
	})
}
