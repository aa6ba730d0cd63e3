package clinical

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/chart/dates"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

// pregnancyQuestions ask whether a patient is, or may become, pregnant.
func pregnancyQuestions() []Function {
	return []Function{
		{
			Name: "fhir.pregnancy_status",
			Doc: "the pregnancy status is the one asked for: by the newest of pregnancy status (LOINC 82810-3), " +
				"expected date of delivery and pregnancy tests, and by active conditions (value set `pregnancy` of " +
				"the library, ICD-10-CM Z33.1, Z33.3, Z34, O09, Z3A). What says pregnant counts for 42 weeks; a " +
				"negative test does not undo what says pregnant, and no finding of pregnancy is not \"not pregnant\"",
			Unknown: "results or conditions are incomplete, nothing is on record, it is too old, cannot be read, or " +
				"contradicts itself; while pregnancy is possible, whether pregnant or not",
			Options: []Option{
				{Name: "status", Kind: KindEnum, Words: []string{pregnant, notPregnant, possiblyPregnant},
					Required: true,
					Param:    true, Doc: "what is asked"},
				{Name: "negative_within", Kind: KindDuration, Required: true, Param: true,
					Doc: "how old a negative test, or a status of not pregnant, may be"},
			},
			Result: typeFact, Reads: []string{"Observation", "Condition"}, Attributes: []string{attributeHealth},
			Run: pregnancyStatus,
		},
		{
			Name: "fhir.childbearing_potential",
			Doc: "can become pregnant: female, of an age in the range, and no hysterectomy on record " +
				"(value set `hysterectomy` of the library)",
			Unknown: "sex or birth date is not known, procedures are incomplete, or as `fhir.procedure`",
			Options: []Option{
				{Name: "min_age", Kind: KindDuration, Required: true, Param: true, Doc: "from this age on"},
				{Name: "max_age", Kind: KindDuration, Required: true, Param: true, Doc: "below this age"},
				{Name: "ended_by", Kind: KindSet, Sets: []vocab.ValueSetKind{vocab.KindCondition},
					Doc:     "conditions that end it, such as menopause, whenever they were recorded",
					Unknown: "as `fhir.condition`"},
			},
			Result: typeFact, Reads: []string{"Patient", "Condition", "Procedure"},
			Attributes: []string{attributeSex, attributeAge, attributeHealth}, Run: childbearingPotential,
		},
	}
}

// The statuses of pregnancy. The empty one is unknown.
const (
	pregnant         = "pregnant"
	notPregnant      = "not-pregnant"
	possiblyPregnant = "possible"
)

// Codes of observations about pregnancy (docs/sources.md).
var (
	pregnancyCodes = ofLOINC("82810-3")
	deliveryCodes  = ofLOINC("11778-8", "11779-6", "11780-4")
	testCodes      = ofLOINC("2106-3", "2110-5", "2112-1", "2118-8", "80384-1", "80385-8")

	statusAnswers = map[chart.Coding]string{
		{System: chart.SNOMED, Code: "77386006"}:        pregnant,
		{System: chart.LOINC, Code: "LA15173-0"}:        pregnant,
		{System: chart.SNOMED, Code: "60001007"}:        notPregnant,
		{System: chart.LOINC, Code: "LA26683-5"}:        notPregnant,
		{System: chart.SNOMED, Code: "146799005"}:       possiblyPregnant,
		{System: chart.SNOMED, Code: "152231000119106"}: possiblyPregnant,
	}
)

func ofLOINC(codes ...string) []chart.Coding {
	list := make([]chart.Coding, len(codes))
	for i, c := range codes {
		list[i] = chart.Coding{System: chart.LOINC, Code: c}
	}
	return list
}

// A pregnancy lasts 42 weeks at the most, 40 of them up to the expected date of
// delivery (docs/sources.md).
var (
	longestPregnancy = dates.Duration{Days: 42 * 7}
	overdue          = dates.Duration{Days: 2 * 7}
)

// statement is what one observation says about pregnancy.
type statement struct {
	*chart.Observation
	says    string // a status, or empty if nobody can tell
	reason  fact.Reason
	current bool // it says so of now, whenever it was recorded
}

// pregnancy is what is found out: a status, or why there is none.
type pregnancy struct {
	status   string
	reasons  []fact.Reason
	evidence []fact.Evidence
	more     int
}

func (p *pregnancy) unknown(code fact.Code) {
	p.status, p.reasons = "", fact.Merge(p.reasons, []fact.Reason{{Code: code, What: "pregnancy status"}})
}

func pregnancyStatus(s *Session, c *Call) (*ast.Term, error) {
	want, f := c.text("status"), s.blank()
	f.Label = "pregnancy status is " + want
	p := s.pregnancy(c.duration("negative_within"))
	f.Evidence, f.More = p.evidence, p.more
	switch {
	case p.status == "":
		f.Reasons = p.reasons
	case p.status == want:
		f.State = fact.True
	case p.status == possiblyPregnant:
		f.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: "pregnancy status"}}
	default:
		f.State = fact.False
	}
	return s.newFact(c, f)
}

// pregnancy weighs observations and conditions. Those that contradict each other, and
// sources that are not all there, leave it open.
func (s *Session) pregnancy(negative dates.Duration) *pregnancy {
	p := s.observedPregnancy(negative)
	sure, weak, unreadable := s.pregnancyConditions()
	keep := func(found *fact.Fact) {
		for _, e := range found.Evidence {
			p.evidence, p.more = fact.Keep(p.evidence, p.more, e, s.lib.library.bounds.Evidence)
		}
		p.more += found.More
	}
	switch {
	case sure.State == fact.True && p.status == notPregnant, weak.State == fact.Unknown && p.status == notPregnant:
		p.unknown(fact.Ambiguous)
		keep(sure)
		keep(weak)
	case sure.State == fact.True:
		p.status, p.reasons = pregnant, nil
		keep(sure)
	case weak.State == fact.Unknown && p.status != pregnant:
		p.status, p.reasons = "", fact.Merge(p.reasons, weak.Reasons)
		keep(weak)
	case p.status == "" && unreadable.State == fact.Unknown:
		p.reasons = fact.Merge(p.reasons, unreadable.Reasons)
		keep(unreadable)
	}
	if complete, why := s.chart.complete("Observation", "Condition"); !complete {
		p.status, p.reasons = "", why
		p.evidence, p.more = s.chart.leftOut(p.evidence, p.more, s.lib.library.bounds.Evidence, "Observation",
			"Condition")
	}
	return p
}

// pregnancyConditions collects the active conditions that are a pregnancy, those that
// may be one but for their status or date, and those that nobody can read.
func (s *Session) pregnancyConditions() (sure, weak, unreadable *fact.Fact) {
	sure, weak, unreadable = &fact.Fact{State: fact.False}, &fact.Fact{State: fact.False}, &fact.Fact{State: fact.False}
	set, q := librarySets()["pregnancy"], conditionQuery{}
	for _, r := range s.chart.conditions() {
		kind, why := set.match(r)
		if code := obstetric(r.Codings); kind == fact.False && code != fact.False {
			kind, why = code, fact.Ambiguous
		}
		if kind == fact.False {
			continue
		}
		d := s.chart.condition(r)
		into := weak
		var reasons []fact.Reason
		if kind == fact.Unknown {
			reasons = []fact.Reason{{Code: why, What: "condition"}}
			if why != fact.Ambiguous {
				into = unreadable
			}
		}
		over := false
		for _, v := range [...]verdict{q.verified(d), s.present(d, false), s.recentPregnancy(began(d))} {
			over = over || v.state == fact.False
			if v.state == fact.Unknown {
				reasons = append(reasons, v.reason)
			}
		}
		switch {
		case over:
		case len(reasons) == 0:
			s.found(sure, fact.True, d.Evidence())
		default:
			s.found(into, fact.Unknown, d.Evidence(), reasons...)
		}
	}
	return sure, weak, unreadable
}

// obstetric asks whether a code of ICD-10-CM means that there is a pregnancy. Others of
// its chapter O may also be of the time after it.
func obstetric(codings []chart.Coding) fact.State {
	state := fact.False
	for _, c := range codings {
		if c.System != chart.ICD10CM {
			continue
		}
		for _, block := range [...]string{"Z34", "O09", "Z3A"} {
			if strings.HasPrefix(c.Code, block) {
				return fact.True
			}
		}
		if strings.HasPrefix(c.Code, "O") {
			state = fact.Unknown
		}
	}
	return state
}

// recentPregnancy asks whether a pregnancy that was known at some time may last.
func (s *Session) recentPregnancy(d dated) verdict {
	if !d.Known() {
		return open(fact.PrecisionInsufficient, d.What)
	}
	switch d.Before(longestPregnancy.Before(s.chart.now())) {
	case fact.True:
		return open(fact.Stale, "pregnancy status")
	case fact.Unknown:
		return open(fact.PrecisionInsufficient, d.What)
	}
	return yes
}

// observedPregnancy weighs what observations say: the newest decides, those of one time
// that contradict each other leave it open. A negative test is no status: it does not
// undo what says pregnant, and what says nothing that can be used does not undo an
// older one.
func (s *Session) observedPregnancy(negative dates.Duration) *pregnancy {
	p := &pregnancy{}
	said, negatives := s.pregnancyStatements()
	said, negatives = newestStatements(said), newestStatements(negatives)
	all := slices.Clone(said)
	said = slices.DeleteFunc(said, func(st statement) bool { // another says it, and is as new
		return st.says == "" && slices.ContainsFunc(all, func(o statement) bool {
			return o.says != "" && !o.Effective.From.Before(st.Effective.From) && !o.Effective.To.Before(st.Effective.To)
		})
	})
	for _, list := range [][]statement{said, negatives} {
		for _, st := range list {
			p.evidence, p.more = fact.Keep(p.evidence, p.more, st.Evidence(), s.lib.library.bounds.Evidence)
		}
	}
	limit := negative.Before(s.chart.now())
	fresh := func(list []statement) fact.State {
		state := fact.False
		for _, st := range list {
			switch st.Effective.Before(limit) {
			case fact.False:
				return fact.True
			case fact.Unknown:
				state = fact.Unknown
			}
		}
		return state
	}
	newer := len(negatives) > 0 && len(said) > 0
	maybeNewer, outdated := newer, len(said) > 0
	var status string
	var doubts []fact.Reason
	for i, st := range said {
		if i > 0 && st.says != said[0].says {
			doubts = append(doubts, fact.Reason{Code: fact.Ambiguous, What: "pregnancy status"})
		}
		if status = st.says; status == "" {
			doubts = append(doubts, st.reason)
		}
		recent := s.recentPregnancy(dated{Interval: st.Effective, What: "date of pregnancy status"})
		outdated = outdated && !st.current && status != "" && recent.reason.Code == fact.Stale
		if !st.current && recent.state != fact.True && (status == pregnant || status == possiblyPregnant) {
			doubts = append(doubts, recent.reason)
		}
		for _, n := range negatives {
			newer = newer && n.Effective.From.After(st.Effective.To)
			maybeNewer = maybeNewer && !n.Effective.To.Before(st.Effective.From)
		}
	}
	switch {
	case len(said) == 0 && len(negatives) == 0:
		p.unknown(fact.NoData)
	case len(said) == 0:
		p.negative(fresh(negatives))
	case status == pregnant && maybeNewer && !outdated:
		p.unknown(fact.Ambiguous)
	case newer && (len(doubts) > 0 || status == possiblyPregnant):
		p.negative(fresh(negatives))
	case len(doubts) > 0:
		p.reasons = fact.Merge(nil, doubts)
	case status == notPregnant:
		p.negative(fresh(append(said, negatives...)))
	default:
		p.status = status
	}
	return p
}

// negative says not pregnant if what says so is fresh enough.
func (p *pregnancy) negative(fresh fact.State) {
	switch fresh {
	case fact.True:
		p.status = notPregnant
	case fact.False:
		p.unknown(fact.Stale)
	default:
		p.unknown(fact.PrecisionInsufficient)
	}
}

// newestStatements returns those that may be the newest.
func newestStatements(list []statement) (top []statement) {
	var latest time.Time
	for _, st := range list {
		if st.Effective.From.After(latest) {
			latest = st.Effective.From
		}
	}
	for _, st := range list {
		if !st.Effective.To.Before(latest) {
			top = append(top, st)
		}
	}
	return top
}

// pregnancyStatements reads the observations about pregnancy, negative tests apart.
func (s *Session) pregnancyStatements() (said, negatives []statement) {
	for _, kind := range []struct {
		codes  []chart.Coding
		isTest bool
		read   func(*statement)
	}{
		{pregnancyCodes, false, func(st *statement) { st.answer(statusAnswer) }},
		{deliveryCodes, false, s.deliveryDate},
		{testCodes, true, func(st *statement) { st.answer(testAnswer) }},
	} {
		take := func(o *chart.Observation) {
			if standing(o, kind.isTest) != isResult {
				return
			}
			st := statement{Observation: o}
			kind.read(&st)
			odd := settle(o, s.chart.now())
			switch {
			case odd != "":
				st.says, st.reason = "", fact.Reason{Code: odd, What: "pregnancy status"}
			case st.says == "" && st.reason.Code == "": // of an earlier pregnancy
				return
			}
			if st.says == notPregnant && kind.isTest {
				negatives = append(negatives, st)
			} else {
				said = append(said, st)
			}
		}
		for _, r := range s.chart.observations(kind.codes) {
			take(s.chart.observation(r))
		}
		for _, o := range s.chart.components(kind.codes) {
			take(o)
		}
	}
	return said, negatives
}

// answer reads a coded answer: of a value, else of an interpretation. Codes that
// contradict each other are none.
func (st *statement) answer(means func(chart.Coding) string) {
	st.reason = fact.Reason{Code: fact.UnknownCode, What: "pregnancy status"}
	if len(st.ValueCodings) == 0 {
		st.reason.Code = fact.TextOnly
	}
	for _, list := range [][]chart.Coding{st.ValueCodings, st.Interpretation} {
		for _, c := range list {
			a := means(chart.Coding{System: c.System, Code: c.Code})
			if a != "" && st.says != "" && a != st.says {
				st.says, st.reason.Code = "", fact.Ambiguous
				return
			}
			if a != "" {
				st.says = a
			}
		}
	}
}

func statusAnswer(c chart.Coding) string { return statusAnswers[c] }

func testAnswer(c chart.Coding) string {
	switch positive, known := sayings[c]; {
	case !known:
		return ""
	case positive:
		return pregnant
	default:
		return notPregnant
	}
}

// deliveryDate reads an expected date of delivery: what is to come says pregnant. Two
// weeks after it the pregnancy is over.
func (s *Session) deliveryDate(st *statement) {
	now := s.chart.now()
	due, err := dates.Parse(st.JSON.Get("valueDateTime").Text(), s.chart.zone())
	switch {
	case err != nil:
		st.reason = fact.Reason{Code: fact.TextOnly, What: "expected date of delivery"}
	case due.After(longestPregnancy.After(now)) == fact.True:
		st.reason = fact.Reason{Code: fact.Implausible, What: "expected date of delivery"}
	case due.After(now) == fact.True:
		st.says, st.current = pregnant, true
	case overdue.After(due.To).Before(now): // nothing is said about now
	default:
		st.reason = fact.Reason{Code: fact.PrecisionInsufficient, What: "expected date of delivery"}
	}
}

// childbearingPotential asks of sex, age and what ends the potential.
func childbearingPotential(s *Session, c *Call) (*ast.Term, error) {
	part := func(label string) *fact.Fact {
		return &fact.Fact{Op: c.function.Name, Label: label, At: s.at()}
	}
	sex, age, ended := part("is female"), part("is of childbearing age"), part("had a hysterectomy")
	female, male, evidence := s.sexes()
	switch sex.Evidence = evidence; {
	case female && male:
		sex.Reasons = []fact.Reason{{Code: fact.NoData, What: "sex"}}
	case female:
		sex.State = fact.True
	default:
		sex.State = fact.False
	}
	switch p, why := s.chart.patient(attributeAge); {
	case p == nil:
		age.Reasons = why
	case p.Birth.From.IsZero() || p.Birth.To.IsZero():
		age.Reasons = []fact.Reason{{Code: fact.NoData, What: "birth date"}}
	default:
		now := s.chart.now()
		reached := func(birth time.Time, d dates.Duration) bool { return !birthday(birth, d).After(now) }
		from, to := c.duration("min_age"), c.duration("max_age")
		switch {
		case reached(p.Birth.To, from) && !reached(p.Birth.From, to):
			age.State = fact.True
		case !reached(p.Birth.From, from) || reached(p.Birth.To, to):
			age.State = fact.False
		default:
			age.Reasons = []fact.Reason{{Code: fact.PrecisionInsufficient, What: "birth date"}}
		}
		age.Evidence = []fact.Evidence{p.Evidence("birth date", p.Birth.Text)}
	}
	ended.State = fact.False
	s.findProcedures(ended, librarySets()["hysterectomy"], nil)
	types := []string{"Procedure"}
	if c.has("ended_by") {
		set := c.set("ended_by")
		ended.Label += " or " + set.everHad
		for _, r := range s.chart.conditions() {
			if kind, why := set.match(r); kind != fact.False {
				s.weighCondition(ended, s.chart.condition(r), kind, why, conditionQuery{ever: true})
			}
		}
		types = append(types, "Condition")
	}
	f := fact.All(sex, age, fact.Not(s.closeSearch(ended, types...)))
	for _, of := range []*fact.Fact{sex, age, ended, f.Of[2]} { // they are recorded, too
		if err := cmp.Or(s.useFact(), s.useText(of.Size())); err != nil {
			return nil, err
		}
	}
	f.Label = "has childbearing potential"
	return s.newFact(c, f)
}
