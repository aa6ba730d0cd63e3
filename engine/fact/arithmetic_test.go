package fact

import (
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

func ranged(low, high string) *Value {
	v := &Value{State: Known, Name: "v"}
	if low != "" {
		v.Low, _, _ = apd.NewFromString(low)
	}
	if high != "" {
		v.High, _, _ = apd.NewFromString(high)
	}
	return v
}

func TestCalculate(t *testing.T) {
	for _, tt := range []struct {
		op       Operation
		a, b     *Value
		decimals int32
		want     string
	}{
		{Add, ranged("1.5", "1.5"), ranged("2", "2"), 1, "3.5"},
		{Add, ranged("1", "2"), ranged("10", "20"), 0, "11 to 22"},
		{Add, ranged("1", ""), ranged("10", "20"), 0, ">= 11"},
		{Subtract, ranged("5", "6"), ranged("1", "2"), 0, "3 to 5"},
		{Subtract, ranged("5", "6"), ranged("1", ""), 0, "<= 5"},
		{Multiply, ranged("2", "3"), ranged("-1", "4"), 0, "-3 to 12"},
		{Multiply, ranged("2", ""), ranged("3", "4"), 0, ">= 6"},
		{Multiply, ranged("", "2"), ranged("3", "4"), 0, "unknown"},
		{Divide, ranged("1", "1"), ranged("3", "3"), 4, "0.3333"},
		{Divide, ranged("2", "2"), ranged("3", "3"), 2, "0.67"},
		{Divide, ranged("1", "2"), ranged("4", "5"), 2, "0.20 to 0.50"},
		{Divide, ranged("1", "2"), ranged("4", ""), 2, "0.00 to 0.50"},
		{Divide, ranged("-4", "2"), ranged("1", "2"), 1, "-4.0 to 2.0"},
		{Divide, ranged("1", "2"), ranged("0", "5"), 2, "unknown"},
		{Divide, ranged("1", "2"), ranged("-1", "5"), 2, "unknown"},
		// 37.5 ug/h over 72 h counts as 90, not 89.9999991.
		{Multiply, ranged("0.33333333", "0.33333333"), ranged("270", "270"), 2, "90.00"},
		{Add, &Value{Name: "a", Reasons: []Reason{{Code: Stale, What: "a"}}}, ranged("1", "1"), 0, "unknown"},
	} {
		if got := Calculate(tt.op, tt.a, tt.b, "r", "", tt.decimals).String(); got != tt.want {
			t.Errorf("%s of %s and %s is %s, want %s", tt.op, tt.a, tt.b, got, tt.want)
		}
	}
	// What is missing is named, and the older value goes through.
	a := &Value{Name: "weight", Reasons: []Reason{{Code: WrongStatus, What: "weight"}}, Older: ranged("60", "60")}
	got := Calculate(Divide, ranged("600", "600"), a, "dose", "mg/kg", 1)
	if got.State != PresenceUnknown || len(got.Reasons) != 1 || got.Reasons[0].What != "weight" ||
		got.Older == nil || got.Older.String() != "10.0 mg/kg" {
		t.Errorf("%+v, older %v", got, got.Older)
	}
	if f := Compare(Round(got, 0), Greater, apd.New(9, 0)); f.State != Unknown || f.IfOlder != True {
		t.Errorf("%+v", f)
	}
}

func TestRelate(t *testing.T) {
	for _, tt := range []struct {
		a    *Value
		c    Comparison
		b    *Value
		want State
	}{
		{ranged("1", "2"), Less, ranged("3", "4"), True}, {ranged("1", "3"), Less, ranged("3", "4"), Unknown},
		{ranged("3", "4"), Less, ranged("1", "3"), False}, {ranged("1", "3"), LessEqual, ranged("3", "4"), True},
		{ranged("3", "3"), LessEqual, ranged("3", "3"), True}, {ranged("3", "3"), Greater, ranged("3", "3"), False},
		{ranged("3", "3"), GreaterEqual, ranged("3", "3"), True}, {ranged("4", ""), Greater, ranged("1", "3"), True},
		{ranged("", "3"), Greater, ranged("3", ""), False}, {&Value{Name: "a"}, Less, ranged("1", "1"), Unknown},
	} {
		if f := Relate(tt.a, tt.c, tt.b); f.State != tt.want {
			t.Errorf("%s %s %s is %v, want %v", tt.a, tt.c.Sign(), tt.b, f.State, tt.want)
		}
	}
}

// TestArithmeticHoldsEveryNumber holds what intervals are for: whatever numbers the
// operands are, the result is in the interval, and wider operands never give a
// narrower one.
func TestArithmeticHoldsEveryNumber(t *testing.T) {
	number := rapid.Int64Range(-2000, 2000)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (point, narrow, wide *Value) {
			x, less, more := number.Draw(t, name), number.Draw(t, name+" below"), number.Draw(t, name+" above")
			at := func(n int64) *apd.Decimal { return apd.New(n, -2) }
			low, high := min(x, less), max(x, more)
			return &Value{State: Known, Low: at(x), High: at(x)}, &Value{State: Known, Low: at(low), High: at(high)},
				&Value{State: Known, Low: at(low - 7), High: at(high + 7)}
		}
		a, an, aw := draw("a")
		b, bn, bw := draw("b")
		op := rapid.SampledFrom([]Operation{Add, Subtract, Multiply, Divide}).Draw(t, "op")
		decimals := rapid.Int32Range(0, 4).Draw(t, "decimals")
		point, narrow, wide := Calculate(op, a, b, "r", "", decimals), Calculate(op, an, bn, "r", "", decimals),
			Calculate(op, aw, bw, "r", "", decimals)
		for _, outer := range [][2]*Value{{point, narrow}, {narrow, wide}} {
			in, out := outer[0], outer[1]
			if out.State != Known {
				continue
			}
			if in.State != Known || out.Low != nil && in.Low.Cmp(out.Low) < 0 ||
				out.High != nil && in.High.Cmp(out.High) > 0 {
				t.Fatalf("%s of %s and %s: %s is not in %s", op, a, b, in, out)
			}
		}
	})
}
