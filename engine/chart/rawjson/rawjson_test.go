package rawjson

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		text, message string
		want          error
	}{
		{` {"a":[1,{"b":null}]} `, "", nil},
		{`{"a":1,"a":2}`, "not strict JSON at byte 7 (a)", ErrJSON},
		{`{"a":{"b":[0,1,x]}}`, "not strict JSON at byte 15 (a.b[2])", ErrJSON},
		{`{"Ann B":x}`, "not strict JSON at byte 9 (?)", ErrJSON},
		{`{"a":1} x`, "not strict JSON at byte 7", ErrJSON},
		{`{"a":1} 2`, "not strict JSON at byte 7", ErrJSON},
		{`{"a":`, "not strict JSON at byte 5", ErrJSON},
		{``, "not strict JSON at byte 0", ErrJSON},
		{`[[[[[x`, "nested too deeply at byte 4", ErrTooDeep},
		{`["[[[[[\"",x]`, "not strict JSON at byte 11 ([1])", ErrJSON},
	} {
		err := Check([]byte(tt.text), 4)
		if !errors.Is(err, tt.want) || err != nil && err.Error() != tt.message {
			t.Errorf("%s: %v, want %s", tt.text, err, tt.message)
		}
	}
}

func TestValue(t *testing.T) {
	v := Value(`{ "a" : "x\n\u00e9" , "\u0062":[ 1 , [2] , {"c":{}} ], "e":{}, "n":null ,"t":-1.5e3}`)
	if v.Get("a").Text() != "x\né" || v.Get("b").Text() != "" || v.Get("none") != "" || v.Get("t") != "-1.5e3" ||
		!v.Get("n").Missing() {
		t.Error("members are misread")
	}
	var list []string
	for e := v.Get("b").Elements(); e.Next(); {
		list = append(list, string(e.Value))
	}
	if got := strings.Join(list, "|"); got != `1|[2]|{"c":{}}` {
		t.Errorf("elements = %s", got)
	}
	for text, want := range map[Value]int{``: 0, `null`: 0, `[]`: 0, `[ ]`: 0, `{}`: 1, `7`: 1, `[null]`: 1} {
		n := 0
		for e := text.Elements(); e.Next(); {
			n++
		}
		if n != want {
			t.Errorf("%q has %d elements, want %d", text, n, want)
		}
	}
	if m := Value(`[1]`).Members(); m.Next() {
		t.Error("an array has members")
	}
}

func TestDepth(t *testing.T) {
	for text, want := range map[string]int{`[[1]]`: 0, `[[[]]]`: 3, `{"a":"[[[[","b":[{}]}`: 18} {
		s := Scanner{Src: text, Max: 2}
		s.Skip()
		if s.Deep != want {
			t.Errorf("%s: deep at %d, want %d", text, s.Deep, want)
		}
	}
}

// decode reads a value by the walkers, for comparison with a decoder.
func decode(v Value) any {
	switch {
	case v.IsObject():
		m := map[string]any{}
		for w := v.Members(); w.Next(); {
			m[w.Name] = decode(w.Value)
		}
		return m
	case v.IsArray():
		list := []any{}
		for e := v.Elements(); e.Next(); {
			list = append(list, decode(e.Value))
		}
		return list
	case v.IsString():
		return v.Text()
	case v.IsNull():
		return nil
	case v.IsNumber():
		var f float64
		_ = json.Unmarshal([]byte(v), &f)
		return f
	default:
		return v == "true"
	}
}

// Whatever passes Check is walked to the same values that a decoder returns.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x\"",{"b":null}],"c":true}`, ` [ ] `, `"\u00e9"`, `{"a":{"a":{}}}`,
		`[-0,1e5]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if Check(text, 1000) != nil {
			return
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			return // numbers beyond float64
		}
		s := Scanner{Src: string(text)}
		got, err := json.Marshal(decode(s.Skip()), json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(want, json.Deterministic(true))
		if err != nil || string(got) != string(again) {
			t.Errorf("%s is walked as %s", again, got)
		}
	})
}
