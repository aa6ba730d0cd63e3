package fact

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

func num(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		panic(err)
	}
	return d
}

func state(s State) *Fact {
	f := &Fact{State: s}
	if s == Unknown {
		f.Reasons = []Reason{{Code: NoData, What: "x"}}
	}
	return f
}

func TestKleene(t *testing.T) {
	for _, c := range []struct{ a, b, and, or State }{
		{True, True, True, True}, {True, False, False, True}, {True, Unknown, Unknown, True},
		{False, False, False, False}, {False, Unknown, False, Unknown}, {Unknown, Unknown, Unknown, Unknown},
	} {
		for _, p := range [][2]State{{c.a, c.b}, {c.b, c.a}} {
			if got := All(state(p[0]), state(p[1])).State; got != c.and {
				t.Errorf("%s and %s = %s, want %s", p[0], p[1], got, c.and)
			}
			if got := Any(state(p[0]), state(p[1])).State; got != c.or {
				t.Errorf("%s or %s = %s, want %s", p[0], p[1], got, c.or)
			}
		}
	}
	if All().State != Unknown || Any().State != Unknown {
		t.Error("a question about nothing must be unknown")
	}
}

var states = rapid.SampledFrom([]State{Unknown, False, True})

// TestLogicLaws compares the logic with what any choice for the unknowns yields:
// an answer may only be certain if no choice can change it.
func TestLogicLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(states, 1, 6).Draw(t, "states")
		n := rapid.IntRange(1, len(list)).Draw(t, "n")
		of := make([]*Fact, len(list))
		unknown, yes := 0, 0
		for i, s := range list {
			of[i] = state(s)
			switch s {
			case Unknown:
				unknown++
			case True:
				yes++
			}
		}
		want := Unknown
		if yes >= n {
			want = True
		} else if yes+unknown < n {
			want = False
		}
		f := AtLeast(n, of...)
		if f.State != want {
			t.Fatalf("at least %d of %v = %s, want %s", n, list, f.State, want)
		}
		if (f.State == Unknown) != (len(f.Reasons) > 0) {
			t.Fatalf("reasons %v for state %s", f.Reasons, f.State)
		}
		if not := Not(Not(f)); not.State != f.State {
			t.Fatalf("double negation changed %s to %s", f.State, not.State)
		}
		neg := make([]*Fact, len(of))
		for i := range of {
			neg[i] = Not(of[i])
		}
		if Not(All(of...)).State != Any(neg...).State {
			t.Fatalf("De Morgan does not hold for %v", list)
		}
	})
}

func TestCompareIntervals(t *testing.T) {
	point := func(s string) *Value { return &Value{State: Known, Name: "eGFR", Low: num(s), High: num(s)} }
	for _, c := range []struct {
		name  string
		v     *Value
		op    Comparison
		limit string
		want  State
	}{
		{"29.9 < 30", point("29.9"), Less, "30", True},
		{"30 < 30", point("30"), Less, "30", False},
		{"30.0 <= 30", point("30.0"), LessEqual, "30", True},
		{"30 > 30", point("30"), Greater, "30", False},
		{"30 >= 30", point("30"), GreaterEqual, "30", True},
		{"(<30) < 30", &Value{State: Known, High: num("30"), HighOpen: true}, Less, "30", True},
		{"(<=30) < 30", &Value{State: Known, High: num("30")}, Less, "30", Unknown},
		{"(<45) < 30", &Value{State: Known, High: num("45"), HighOpen: true}, Less, "30", Unknown},
		{"(>60) < 30", &Value{State: Known, Low: num("60"), LowOpen: true}, Less, "30", False},
		{"(>60) > 60", &Value{State: Known, Low: num("60"), LowOpen: true}, Greater, "60", True},
		{"(>=60) > 60", &Value{State: Known, Low: num("60")}, Greater, "60", Unknown},
		{"(16.9 to 22.6) < 30", &Value{State: Known, Low: num("16.9"), High: num("22.6")}, Less, "30", True},
		{"(28 to 31) < 30", &Value{State: Known, Low: num("28"), High: num("31")}, Less, "30", Unknown},
		{"absent < 30", &Value{State: Absent, Name: "eGFR"}, Less, "30", Unknown},
		{"zero value < 30", &Value{}, Less, "30", Unknown},
	} {
		f := Compare(c.v, c.op, num(c.limit))
		if f.State != c.want {
			t.Errorf("%s: %s, want %s", c.name, f.State, c.want)
		}
		if (f.State == Unknown) != (len(f.Reasons) > 0) {
			t.Errorf("%s: state %s with reasons %v", c.name, f.State, f.Reasons)
		}
	}
}

// TestCompareSound draws a number out of an interval: a certain answer must
// hold for it.
func TestCompareSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.IntRange(-50, 50).Draw(t, "low")
		high := low + rapid.IntRange(0, 20).Draw(t, "width")
		x := rapid.IntRange(low, high).Draw(t, "x")
		limit := rapid.IntRange(-60, 80).Draw(t, "limit")
		op := rapid.SampledFrom([]Comparison{Less, LessEqual, Greater, GreaterEqual}).Draw(t, "op")
		v := &Value{State: Known, Name: "v", Low: apd.New(int64(low), 0), High: apd.New(int64(high), 0)}
		holds := map[Comparison]bool{Less: x < limit, LessEqual: x <= limit, Greater: x > limit,
			GreaterEqual: x >= limit}[op]
		f := Compare(v, op, apd.New(int64(limit), 0))
		if f.State == True && !holds || f.State == False && holds {
			t.Fatalf("[%d,%d] %s %d is %s, but not for %d", low, high, op.Sign(), limit, f.State, x)
		}
		if low == high && f.State == Unknown {
			t.Fatalf("a point compared with a point is unknown")
		}
	})
}

func TestLacking(t *testing.T) {
	for _, c := range []struct {
		name string
		v    Value
		want State
	}{
		{"known", Value{State: Known}, False},
		{"absent", Value{State: Absent}, True},
		{"stale", Value{Reasons: []Reason{{Code: Stale}}}, True},
		{"not supplied", Value{Reasons: []Reason{{Code: NotSupplied}}}, Unknown},
		{"stale and partial", Value{Reasons: []Reason{{Code: Stale}, {Code: PartialResult}}}, Unknown},
		{"zero value", Value{}, Unknown},
	} {
		if f := Lacking(&c.v); f.State != c.want {
			t.Errorf("%s: %s, want %s", c.name, f.State, c.want)
		}
	}
}

func TestZeroIsUnknown(t *testing.T) {
	var f Fact
	var v Value
	if f.State != Unknown || v.State != PresenceUnknown {
		t.Fatal("a zero fact or value must be unknown")
	}
}

func TestValueText(t *testing.T) {
	for want, v := range map[string]*Value{
		"27.0 mL/min/1.73 m²": {State: Known, Low: num("27.0"), High: num("27"), Unit: "mL/min/{1.73_m2}"},
		"16.9 to 22.6":        {State: Known, Low: num("16.9"), High: num("22.6")},
		"< 30 years":          {State: Known, High: num("30"), HighOpen: true, Unit: "a"},
		"<= 30":               {State: Known, High: num("30")},
		"> 60 µmol/L":         {State: Known, Low: num("60"), LowOpen: true, Unit: "umol/L"},
		">= 60":               {State: Known, Low: num("60")},
		"unknown":             {State: Known, Unit: "mg"},
		"absent":              {State: Absent, Low: num("1"), High: num("1")},
	} {
		if have := v.String(); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		low, high string
		open      bool
		want      State
	}{
		{"10", "10", false, True}, {"19.9", "19.9", false, True}, {"20", "20", false, False},
		{"9.9", "9.9", false, False},
		{"12", "15", false, True}, {"15", "25", false, Unknown}, {"10", "20", false, Unknown},
		{"10", "20", true, True}, {"5", "10", true, False},
	} {
		v := &Value{State: Known, Name: "x", Low: num(c.low), High: num(c.high), HighOpen: c.open}
		f := Within(v, num("10"), num("20"))
		if f.State != c.want || f.Limit != "10 to 20" || f.Op != "fact.within" || len(f.Values) != 1 || f.Of != nil {
			t.Errorf("%s to %s (open %v): %+v, want %s", c.low, c.high, c.open, f, c.want)
		}
	}
}

// TestReasonsOfUnknownOnly: only an operand that is unknown says why.
func TestReasonsOfUnknownOnly(t *testing.T) {
	no := &Fact{State: False, Reasons: []Reason{{Code: Stale, What: "no"}}}
	f := AtLeast(2, no, state(True), state(Unknown), state(Unknown))
	if f.State != Unknown || len(f.Reasons) != 1 || f.Reasons[0].Code != NoData {
		t.Errorf("%+v", f)
	}
	if f := AtLeast(3, no, state(True), state(Unknown)); f.State != False {
		t.Errorf("out of reach: %s", f.State)
	}
}

func TestWalkAndGather(t *testing.T) {
	shared := Evidence{Ref: "Observation/1"}
	leaf := &Fact{Op: "leaf", Evidence: []Evidence{shared, {Ref: "Condition/1"}}}
	v := &Value{Evidence: []Evidence{{Ref: "Patient/1"}, shared}}
	top := &Fact{Op: "top", Evidence: []Evidence{shared}, Values: []*Value{v, v},
		Of: []*Fact{{Op: "mid", Of: []*Fact{leaf, leaf}}, nil, leaf, {Op: "other", Values: []*Value{v}}}}
	var seen []string
	top.Walk(func(f *Fact) { seen = append(seen, f.Op) })
	if want := []string{"top", "mid", "leaf", "other"}; !slices.Equal(seen, want) {
		t.Errorf("walked %v, want %v", seen, want)
	}
	want := []Evidence{shared, {Ref: "Patient/1"}, {Ref: "Condition/1"}}
	if got, more := top.Gather(); !slices.Equal(got, want) || more != 0 {
		t.Errorf("gathered %v and %d more, want %v", got, more, want)
	}
	var g Graph
	g.Walk(leaf, func(*Fact) {})
	g.Walk(top, func(f *Fact) {
		if f == leaf {
			t.Error("a fact met before was visited again")
		}
	})
	if !g.Has(top.Of[0]) || g.Has(&Fact{}) {
		t.Error("the graph does not know whom it met")
	}
}

// TestDoubling holds that facts made of one another cost what their number
// costs, and not what the tree of them would.
func TestDoubling(t *testing.T) {
	f := &Fact{State: True, Evidence: []Evidence{{Ref: "Observation/1"}}}
	n := 1
	for ; n < MaxNodes; n++ {
		f = All(f, f)
	}
	visited := 0
	f.Walk(func(*Fact) { visited++ })
	if got, _ := f.Gather(); visited != n || len(got) != 1 {
		t.Errorf("%d facts: visited %d, gathered %v", n, visited, got)
	}
}

// TestDistinct holds that a list grows into a map without a change in what it
// says.
func TestDistinct(t *testing.T) {
	var d Distinct[int]
	for i := range 100 {
		for _, x := range []int{i, i / 2} {
			if want := x == i && (i > 0 || len(d.List) == 0); d.Add(x) != want {
				t.Fatalf("adding %d: not %v", x, want)
			}
		}
		if at, ok := d.Find(i); !ok || at != i || d.List[i] != i {
			t.Fatalf("%d is at %d, %v", i, at, ok)
		}
	}
	if _, ok := d.Find(100); ok || len(d.List) != 100 {
		t.Errorf("%d in it", len(d.List))
	}
}

// TestDates compares dates by their bounds, open ones too.
func TestDates(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC) }
	date := func(from, to time.Time) *Value {
		return &Value{State: Known, Name: "d", Date: &Date{From: from, To: to}}
	}
	open := time.Time{}
	for _, tt := range []struct {
		name string
		a, b *Value
		want State
	}{
		{"apart", date(at(1), at(2)), date(at(3), at(4)), True},
		{"apart, swapped", date(at(3), at(4)), date(at(1), at(2)), False},
		{"touching", date(at(1), at(2)), date(at(2), at(3)), Unknown},
		{"the same instant", date(at(2), at(2)), date(at(2), at(2)), False},
		{"touching, swapped", date(at(2), at(3)), date(at(1), at(2)), False},
		{"open start", date(open, at(2)), date(at(3), at(4)), True},
		{"open end", date(at(1), open), date(at(3), at(4)), Unknown},
		{"open end, later", date(at(4), open), date(at(3), at(4)), False},
		{"nothing known", date(open, open), date(at(3), at(4)), Unknown},
		{"not a date", &Value{State: Known, Low: num("1"), High: num("1")}, date(at(3), at(4)), Unknown},
	} {
		if f := Before(tt.a, tt.b); f.State != tt.want || (f.State == Unknown) != (len(f.Reasons) > 0) {
			t.Errorf("%s: before is %s %v", tt.name, f.State, f.Reasons)
		}
		if f := After(tt.b, tt.a); f.State != tt.want {
			t.Errorf("%s: after is %s", tt.name, f.State)
		}
	}
	for _, tt := range []struct {
		d    Date
		want string
	}{
		{Date{}, "unknown"}, {Date{From: at(1)}, "from 2026-03-01T00:00:00Z"}, {Date{To: at(1)},
			"until 2026-03-01T00:00:00Z"},
		{Date{From: at(1), To: at(1)}, "2026-03-01T00:00:00Z"},
		{Date{From: at(1), To: at(2)}, "2026-03-01T00:00:00Z to 2026-03-02T00:00:00Z"},
		{Date{From: at(1), To: at(2), Text: "2026-03-01"}, "2026-03-01"},
	} {
		if v := (&Value{State: Known, Date: &tt.d}); v.String() != tt.want {
			t.Errorf("%+v is %q, want %q", tt.d, v, tt.want)
		}
	}
}

// TestDatesInRecords holds that a date is written as its bounds, and that what has none
// is written as it always was.
func TestDatesInRecords(t *testing.T) {
	from := time.Date(2026, 3, 2, 5, 0, 0, 0, time.UTC)
	v := &Value{State: Known, Name: "today", Date: &Date{From: from, To: from.AddDate(0, 0, 1).Add(-1),
		Text: "2026-03-02"}}
	number := &Value{State: Known, Name: "eGFR", Low: num("27.0"), High: num("27.0"), Unit: "mL/min"}
	for _, tt := range []struct {
		v    *Value
		want string
	}{
		{v,
			`{"state":"known","name":"today","date":{"from":"2026-03-02T05:00:00Z","to":"2026-03-03T04:59:59.999999999Z",` +
				`"text":"2026-03-02"}}`},
		{number, `{"state":"known","name":"eGFR","low":"27.0","high":"27.0","unit":"mL/min"}`},
	} {
		raw, err := json.Marshal(tt.v)
		if err != nil || string(raw) != tt.want {
			t.Errorf("written as %s, %v", raw, err)
		}
		var back Value
		if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(&back, tt.v) {
			t.Errorf("read back as %+v, %v", back, err)
		}
	}
}

// TestShownDigits holds that people see at most eight significant digits, half up, and
// that comparisons have them all.
func TestShownDigits(t *testing.T) {
	for _, tt := range []struct{ low, high, want string }{
		{"1.50", "1.50", "1.50 mg"}, // as sent
		{"12345678", "12345678", "12345678 mg"},
		{"59.874192848", "59.874192848", "59.874193 mg"},
		{"1.2345678449", "1.2345678449", "1.2345678 mg"},
		{"1.23456785", "1.23456785", "1.2345679 mg"}, // half up
		{"0.000123456785", "0.000123456785", "0.00012345679 mg"},
		{"1.000000000", "1.000000000", "1 mg"},
		{"25000000000", "25000000000", "25000000000 mg"},
		{"0.3333333333333333333333333333333333", "0.6666666666666666666666666666666667", "0.33333333 to 0.66666667 mg"},
		{"59.9999999996", "60.0000000004", "60 mg"},
		{"", "0.6666666666666666666666666666666667", "<= 0.66666667 mg"},
		{"0.3333333333333333333333333333333333", "", ">= 0.33333333 mg"},
	} {
		v := &Value{State: Known, Name: "dose", Unit: "mg"}
		if tt.low != "" {
			v.Low = num(tt.low)
		}
		if tt.high != "" {
			v.High = num(tt.high)
		}
		if got := v.String(); got != tt.want {
			t.Errorf("%s to %s is shown as %q, want %q", tt.low, tt.high, got, tt.want)
		}
		if v.Low != nil && v.Low.Text('f') != tt.low || v.High != nil && v.High.Text('f') != tt.high {
			t.Errorf("%s to %s became %+v by being shown", tt.low, tt.high, v)
		}
	}
	below := &Value{State: Known, Unit: "mg", Low: num("59.9999999996"), High: num("59.9999999996")}
	if below.String() != "60 mg" || Compare(below, Less, num("60")).State != True {
		t.Errorf("%s, compared with 60: %s", below, Compare(below, Less, num("60")).State)
	}
}
