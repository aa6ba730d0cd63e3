package witness

import (
	"bytes"
	"testing"
)

func FuzzParseMemory(f *testing.F) {
	f.Add([]byte(`{"witness":"w+00000000+AA=="}` + "\n" + `{"origin":"a","note":"a\n1\n"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		owner, newest, err := parseMemory(data)
		if err != nil {
			return
		}
		m := memory{owner: owner}
		if again, err := m.encode(newest); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is read as %q: %v", data, again, err)
		}
	})
}
