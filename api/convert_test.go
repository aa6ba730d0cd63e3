package api

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
)

// Every member of the engine's values goes over the wire under the same name,
// and comes back. What a proof holds is checked where one is verified.
func TestWireLosesNothing(t *testing.T) {
	agree(t, wireStatus)
	agree(t, wireApplied)
	agree(t, func(l *decide.Logged) wire.Statement { return wireStatements([]decide.Logged{*l}).Statements[0] })
	agree(t, wireRecordPage)
	agree(t, wireRecord)
	agree(t, func(r *audit.Report) wire.Report { return *Report(r) })
}

// agree fills an engine's value, so that nothing is zero and no two members are
// the same, and compares it with what a client reads.
func agree[T, W any](t *testing.T, convert func(*T) W) {
	t.Helper()
	from := new(T)
	n := 0
	fill(t, reflect.ValueOf(from).Elem(), &n)
	want, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	to := convert(from)
	got, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	var back W
	if err := json.Unmarshal(got, &back, json.RejectUnknownMembers(true)); err != nil || !reflect.DeepEqual(back, to) {
		t.Errorf("%T came back as %+v, %v", to, back, err)
	}
	for _, b := range []*[]byte{&want, &got} {
		if err := (*jsontext.Value)(b).Canonicalize(); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != string(want) {
		t.Errorf("%T is not %T:\n%s\n%s", to, *from, got, want)
	}
}

// fill sets everything under v to a value of its own.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	if x, ok := v.Addr().Interface().(*time.Time); ok {
		*x = time.Unix(int64(*n), 0).UTC()
		return
	}
	if x, ok := v.Addr().Interface().(*jsontext.Value); ok {
		*x = jsontext.Value(fmt.Sprintf(`{"n":%d}`, *n))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // others are not for the wire
				fill(t, v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(*n % 251))
	default:
		t.Fatalf("cannot fill a %s", v.Type())
	}
}
