package safetext

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile holds what a terminal or a reader would be misled by.
var hostile = []struct{ name, text, line string }{
	{"colour", "\x1b[31mred\x1b[0m", "�[31mred�[0m"},
	{"clear screen", "a\x1b[2Jb", "a�[2Jb"},
	{"title", "\x1b]0;root\x07", "�]0;root�"},
	{"C1 control sequence", "a\u009b2Jb", "a�2Jb"},
	{"bidirectional override", "\u202egnp.exe\u202c", "�gnp.exe�"},
	{"bidirectional isolate", "\u2066x\u2069", "�x�"},
	{"direction mark", "a\u200fb\u061cc", "a�b�c"},
	{"zero width", "a\u200bb\u200dc\ufeffd\u2060e", "a�b�c�d�e"},
	{"soft hyphen", "pre\u00adcept", "pre�cept"},
	{"tag characters", "a\U000e0041b", "a�b"},
	{"newline", "a\nprecept: all is well", "a�precept: all is well"},
	{"carriage return", "a\rb", "a�b"},
	{"backspace and delete", "no\b\bok\x7f", "no��ok�"},
	{"tab", "a\tb", "a�b"},
	{"null", "a\x00b", "a�b"},
	{"line separator", "a\u2028b\u2029c\u0085d", "a�b�c�d"},
	{"invalid UTF-8", "a\xffb\xc3", "a�b�"},
	{"overlong and surrogate", "\xc0\x9b\xed\xa0\x80", "�����"},
	{"private use", "a\ue000b\U0010fffdc", "a�b�c"},
	{"unassigned", "a\u0378b", "a�b"},
	{"nothing hostile", "eGFR < 30 mL/min/1.73 m² — Müller, 腎, 😀, e\u0301",
		"eGFR < 30 mL/min/1.73 m² — Müller, 腎, 😀, e\u0301"},
	{"spaces of other languages", "Clairance\u00a0: 27\u202fmL\u3000x", "Clairance\u00a0: 27\u202fmL\u3000x"},
	{"replacement character", "a�b", "a�b"},
	{"empty", "", ""},
}

func TestLine(t *testing.T) {
	for _, h := range hostile {
		if got := Line(h.text); got != h.line {
			t.Errorf("%s: Line(%q) = %q, want %q", h.name, h.text, got, h.line)
		}
	}
}

func TestText(t *testing.T) {
	for _, h := range hostile {
		want := h.line
		if strings.Contains(h.text, "\n") {
			want = h.text
		}
		if got := Text(h.text); got != want {
			t.Errorf("%s: Text(%q) = %q, want %q", h.name, h.text, got, want)
		}
	}
}

func TestSprintf(t *testing.T) {
	type name string
	for _, h := range hostile {
		if got, want := Sprintf("\x1b%s|\n%v|%v", h.text, errors.New(h.text), name(h.text)),
			"\x1b"+h.line+"|\n"+h.line+"|"+h.line; got != want {
			t.Errorf("%s: %q, want %q", h.name, got, want)
		}
	}
	got := Sprintf("%5d|%-6s|%.2f|%x|%q|%+v|%.3s|%%", 42, "a\tb", 1.5, []byte{1, 255}, "\x1b",
		struct{ A string }{"x\ny"}, "über")
	if want := `   42|a�b   |1.50|01ff|"\x1b"|{A:x�y}|übe|%`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJSON(t *testing.T) {
	for _, h := range hostile {
		plain := strings.ToValidUTF8(h.text, "�")
		text, err := json.Marshal(map[string]string{plain: plain})
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.NewReplacer(`\u2028`, "\u2028", `\u2029`,
			"\u2029").Replace("\t\r\n" + string(text) + "\n"))
		checkJSON(t, text)
	}
}

// checkJSON wants JSON to be safe and to mean the same.
func checkJSON(t *testing.T, text []byte) {
	t.Helper()
	got := JSON(text)
	if s := string(got); !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(r rune) bool { return !safe(r) && r != '\n' && r != '\t' }) {
		t.Errorf("JSON(%q) = %q is not safe", text, got)
	}
	var before, after any
	if json.Unmarshal(text, &before) != nil {
		return
	}
	if err := json.Unmarshal(got, &after); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("JSON(%q) = %q means %v, want %v: %v", text, got, after, before, err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, h := range hostile {
		f.Add([]byte(h.text))
		f.Add([]byte(`{"a": ["` + h.text + `"]}`))
	}
	f.Fuzz(checkJSON)
}
