package chart

import (
	"slices"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"github.com/precept-cds/precept/engine/chart/units"
)

// sig is a dosage text that could be read to its last word.
type sig struct {
	dose  Amount
	times Range
}

// maxSig bounds the texts that are read; what is longer holds more than a dose.
const maxSig = 160

// readSig reads a dosage in words: "take 1 tablet by mouth twice daily". The grammar
// is small on purpose, and every word must be of it:
//
//	[verb] amount unit [route] frequency [as needed] [with food]
//
// in which the last three may come in any order, each once. Anything else, such as
// "1-2 q4-6h prn" without a unit, "as directed" or "for pain", makes it unread: half
// a sentence understood is a dose misread.
func readSig(text string) (sig, bool) {
	w, ok := sigWords(text)
	if !ok {
		return sig{}, false
	}
	w.skip(sigVerbs)
	var s sig
	if s.dose, ok = w.amount(); !ok {
		return sig{}, false
	}
	routed, advised, needed := false, false, false
	for !w.done() {
		switch {
		case !routed && w.skip(sigRoutes):
			routed = true
		case !needed && w.skip(sigNeeded):
			needed = true
		case !advised && w.skip(sigAdvice):
			advised = true
		case !s.times.Known():
			if s.times, ok = w.frequency(); !ok {
				return sig{}, false
			}
		default:
			return sig{}, false
		}
	}
	return s, s.times.Known()
}

// mentionsNeed reports whether a text, read or not, makes doses depend on need.
func mentionsNeed(text string) bool {
	text = strings.ToLower(text)
	for _, words := range []string{"as needed", "if needed", "when needed", "as required"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return r < 'a' || r > 'z' }), "prn")
}

// readFrequency reads words for how often alone: "twice daily", "q6h prn".
func readFrequency(text string) (times Range, asNeeded, ok bool) {
	w, ok := sigWords(text)
	if !ok {
		return Range{}, false, false
	}
	if times, ok = w.frequency(); !ok {
		return Range{}, false, false
	}
	asNeeded = w.skip(sigNeeded)
	return times, asNeeded, w.done()
}

// phrases are the words that may stand in one place. Longer ones come first.
type phrases [][]string

func phrasesOf(list ...string) phrases {
	out := make(phrases, len(list))
	for i, s := range list {
		out[i] = strings.Fields(s)
	}
	return out
}

var (
	sigVerbs  = phrasesOf("take", "give", "chew", "swallow", "inhale", "inject", "apply", "place", "use", "insert")
	sigRoutes = phrasesOf("by mouth", "orally", "po", "p.o.", "under the tongue", "sublingually", "into both nostrils",
		"under the skin", "subcutaneously", "intravenously", "to skin", "to the skin", "onto the skin",
		"via inhalation")
	sigNeeded = phrasesOf("as needed", "prn", "if needed", "when needed")
	sigAdvice = phrasesOf("with food", "with meals", "with a meal", "with water", "before meals", "after meals",
		"before breakfast", "with breakfast", "with dinner", "on an empty stomach")
)

type sigReader struct {
	words []string
	pos   int
}

// sigWords splits a text into its words; signs other than a full stop at the end
// and a hyphen in a range make it unreadable.
func sigWords(text string) (*sigReader, bool) {
	if text == "" || len(text) > maxSig {
		return nil, false
	}
	text = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), ".")
	for _, r := range text {
		if !(r == ' ' || r == '-' || r == '.' || r == 'µ' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' ||
			r == '(' || r == ')') {
			return nil, false
		}
	}
	return &sigReader{words: strings.Fields(text)}, true
}

func (w *sigReader) done() bool { return w.pos == len(w.words) }

func (w *sigReader) peek(n int) string {
	if w.pos+n < len(w.words) {
		return w.words[w.pos+n]
	}
	return ""
}

// skip takes one of several phrases, if one comes next.
func (w *sigReader) skip(list phrases) bool {
next:
	for _, p := range list {
		for i, word := range p {
			if w.peek(i) != word {
				continue next
			}
		}
		w.pos += len(p)
		return true
	}
	return false
}

// amount reads how much: "1 tablet", "1-2 tablets", "1 to 2 tablets", "500 mg",
// "500mg".
func (w *sigReader) amount() (a Amount, ok bool) {
	if number, unit := splitNumber(w.peek(0)); number != "" && unit != "" {
		w.words = append(append(append([]string{}, w.words[:w.pos]...), number, unit), w.words[w.pos+1:]...)
	}
	if a.Range, ok = w.numbers(); !ok {
		return a, false
	}
	a.Unit, ok = units.ParseDoseUnit(w.peek(0))
	if !ok || a.Unit.Per != "" || a.Unit.Over != "" || w.peek(0) == "l" {
		return a, false
	}
	w.pos++
	return a, true
}

// splitNumber takes "500mg" apart.
func splitNumber(word string) (number, unit string) {
	n := strings.IndexFunc(word, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if n <= 0 || word[n] == '-' {
		return "", ""
	}
	return word[:n], word[n:]
}

// numbers reads a number or a range of two.
func (w *sigReader) numbers() (r Range, ok bool) {
	word := w.peek(0)
	if low, high, isRange := strings.Cut(word, "-"); isRange {
		r.Low, r.High = sigNumber(low), sigNumber(high)
		w.pos++
		return r, ascending(r)
	}
	if r.Low = sigNumber(word); r.Low == nil {
		return r, false
	}
	w.pos++
	if next := w.peek(0); next == "to" || next == "-" || next == "or" {
		r.High = sigNumber(w.peek(1))
		w.pos += 2
		return r, ascending(r)
	}
	r.High = r.Low
	return r, true
}

func ascending(r Range) bool { return r.Low != nil && r.High != nil && r.Low.Cmp(r.High) < 0 }

var sigNumbers = map[string]int64{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8,
	"ten": 10, "twelve": 12}

// sigNumber reads a number above zero; a point needs a digit on either side, so that
// ".5" and "5." are not guessed at. Nil is none.
func sigNumber(word string) *apd.Decimal {
	if n, ok := sigNumbers[word]; ok {
		return apd.New(n, 0)
	}
	if word == "" || len(word) > 9 || word[0] == '.' || word[len(word)-1] == '.' {
		return nil
	}
	for i := range len(word) {
		if word[i] != '.' && (word[i] < '0' || word[i] > '9') {
			return nil
		}
	}
	n, err := units.ParseNumber(word)
	if err != nil || n.Sign() <= 0 {
		return nil
	}
	return n
}

// sigTimes are the phrases for how often: doses and the days that they take.
var sigTimes = []struct {
	phrase      []string
	times, days int64
}{
	{strings.Fields("once daily"), 1, 1}, {strings.Fields("once a day"), 1, 1}, {strings.Fields("once per day"), 1, 1},
	{strings.Fields("once every day"), 1, 1}, {strings.Fields("once weekly"), 1, 7}, {strings.Fields("once a week"),
		1, 7},
	{strings.Fields("once per week"), 1, 7},
	{strings.Fields("twice daily"), 2, 1}, {strings.Fields("twice a day"), 2, 1}, {strings.Fields("twice per day"), 2,
		1},
	{strings.Fields("daily at bedtime"), 1, 1}, {strings.Fields("daily in the morning"), 1, 1},
	{strings.Fields("daily in the evening"), 1, 1}, {strings.Fields("daily"), 1, 1}, {strings.Fields("every day"), 1,
		1},
	{strings.Fields("every morning"), 1, 1}, {strings.Fields("every evening"), 1, 1}, {strings.Fields("every night"),
		1, 1},
	{strings.Fields("at bedtime"), 1, 1}, {strings.Fields("nightly"), 1, 1}, {strings.Fields("weekly"), 1, 7},
	{strings.Fields("every week"), 1, 7}, {strings.Fields("every other day"), 1, 2},
	{strings.Fields("bid"), 2, 1}, {strings.Fields("tid"), 3, 1}, {strings.Fields("qid"), 4, 1},
	{strings.Fields("q4h"), 6, 1}, {strings.Fields("q6h"), 4, 1}, {strings.Fields("q8h"), 3, 1},
	{strings.Fields("q12h"), 2, 1}, {strings.Fields("q24h"), 1, 1},
}

// frequency reads how often.
func (w *sigReader) frequency() (Range, bool) {
	for _, t := range sigTimes {
		if w.skip(phrases{t.phrase}) {
			return wholeDays(t.times, t.times).Over(wholeDays(t.days, t.days)), true
		}
	}
	if w.peek(0) == "every" {
		w.pos++
		n, ok := w.numbers()
		if !ok {
			return Range{}, false
		}
		days, ok := period(n.Low, n.High, w.peek(0))
		if unit := w.peek(0); !ok || unit != "hours" && unit != "hour" && unit != "days" && unit != "weeks" {
			return Range{}, false
		}
		w.pos++
		return wholeDays(1, 1).Over(days), true
	}
	n, ok := w.numbers()
	if !ok || w.peek(0) != "times" {
		return Range{}, false
	}
	w.pos++
	switch {
	case w.skip(phrasesOf("daily", "a day", "per day", "each day", "every day")):
		return n, true
	case w.skip(phrasesOf("weekly", "a week", "per week")):
		return n.Over(wholeDays(7, 7)), true
	default:
		return Range{}, false
	}
}
