package packfile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

func TestProblem(t *testing.T) {
	for _, test := range []struct {
		p    packfile.Problem
		want string
	}{
		{packfile.Problem{File: "a", Line: 3, What: "is wrong", Hint: "fix it"}, "a:3: is wrong (fix it)"},
		{packfile.Problem{File: "a", What: "is wrong", Warning: true}, "a: warning: is wrong"},
		{packfile.Problem{What: "it is wrong"}, "it is wrong"},
		{packfile.Problem{File: "a", What: "x\x1b[2Jy\nz\u202e"}, "a: x\ufffd[2Jy\ufffdz\ufffd"},
	} {
		if got := test.p.Error(); got != test.want {
			t.Errorf("problem is %q, want %q", got, test.want)
		}
	}
	p := &packfile.Problem{File: "a", Line: 3, What: "is wrong", Kind: packfile.ErrTooLarge}
	if err := fmt.Errorf("reading: %w", p); !errors.Is(err, packfile.ErrTooLarge) ||
		errors.Is(err, packfile.ErrMalformed) {
		t.Errorf("%v is not only of its kind", err)
	}
	if out, err := json.Marshal(p); err != nil ||
		string(out) != `{"file":"a","line":3,"kind":"too-large","what":"is wrong"}` {
		t.Errorf("for programs it is %s, %v", out, err)
	}
}

func TestListIsBounded(t *testing.T) {
	var l packfile.List
	l.Add(nil)
	if l.Err() != nil {
		t.Error("nothing became an error")
	}
	l.Add(errors.Join(&packfile.Problem{What: "a"}, &packfile.Problem{What: "b"}))
	l.Add(errors.New("broken pipe"))
	for range 100 {
		l.Add(&packfile.Problem{What: "c"})
	}
	if !l.Full() || len(l) != 50 || !strings.Contains(l.Err().Error(), "broken pipe") {
		t.Errorf("%d errors are kept: %v", len(l), l.Err())
	}
}

func TestLines(t *testing.T) {
	for name, text := range map[string]string{
		"a.yaml": "# x\na:\n  b: 1\n  c:\n    d: 2\nlist: &list\n- 1\n- {x: 1,\n   y: 2}\n-\n  z: 3\nagain: *list\n",
		"a.json": "{\n\"a\":\n{\"b\": 1, \"c\":\n{\"d\": 2}},\n\"list\": [\n1," +
			"\n{\"x\": 1,\n\"y\": 2}, {\n\"z\": 3}]\n, \"again\": 0}",
	} {
		d, err := packfile.Read(packfile.File{Name: name, Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		yaml := name == "a.yaml"
		pick := func(y, j int) int {
			if yaml {
				return y
			}
			return j
		}
		for at, want := range map[string]int{"": pick(2, 1), "/a": 2, "/a/b": 3, "/a/c": pick(4, 3), "/a/c/d": pick(5, 4),
			"/a/c/none": pick(4, 3),
			"/list":     pick(6, 5), "/list/0": pick(7, 6), "/list/1/y": pick(9, 8), "/none": pick(2, 1)} {
			if got := d.Line(jsontext.Pointer(at)); got != want {
				t.Errorf("%s: line of %q is %d, want %d", name, at, got, want)
			}
		}
		if got, want := d.Lines("/list", 3), []int{pick(7, 6), pick(8, 7), pick(11, 8)}; !slices.Equal(got, want) {
			t.Errorf("%s: lines are %v, want %v", name, got, want)
		}
		if yaml && !slices.Equal(d.Lines("/again", 3), d.Lines("/list", 3)) {
			t.Error("an alias has other lines than its anchor")
		}
		if got, want := d.Lines("/a", 2), []int{2, 2}; !slices.Equal(got, want) {
			t.Errorf("%s: items that are not there are on lines %v, want %v", name, got, want)
		}
	}
}
