package decide

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/fact"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// Composing turns findings into cards. What fired is shown unless a stronger
// rule or the same finding on another order says it already; what could not be
// told is shown as its rule's unknown policy wants, equal reasons on one
// subject sharing a card; what was not checked at all is shown once. Nothing
// is dropped: a finding without a card says why.

// result is one finding with what composing needs of it.
type result struct {
	*decision.Finding
	rule  *clinical.Rule // nil for findings of the core
	pack  *Part          // nil likewise, but for those about a whole pack
	title string         // of the rule
	order string         // name of the subject, for people
	draft *draft
}

// composed is a card and the findings it shows.
type composed struct {
	cdshooks.Card
	key     [3]string // pack/rule, subject, part: the rest of the total order
	results []*result
}

type composer struct {
	in       *decision.Inputs
	results  []*result
	cards    []*composed
	maxCards int
}

func (c *composer) compose() cdshooks.Response {
	c.hideSuperseded()
	c.hideRepeated()
	for _, r := range c.results {
		if r.Outcome == decision.Fired && r.Hidden == nil && r.rule != nil {
			c.add(c.firedCard(r), [3]string{r.Rule, r.Subject, ""}, r)
		}
	}
	c.unknownCards()
	c.unidentifiedCard()
	c.notCheckedCard()
	return c.finish()
}

// hideSuperseded hides what a fired rule says better. Behind a rule that could not
// tell there may be more than what fired says: it is hidden only by one that is no
// less severe, or that asks for the very data it lacks.
func (c *composer) hideSuperseded() {
	asked := c.askedFor()
	var byPair map[pairName][]*result // made when it is needed; two orders may have one name
	for _, by := range c.results {
		if by.Outcome != decision.Fired || by.rule == nil || len(by.rule.Supersedes) == 0 {
			continue
		}
		if byPair == nil {
			byPair = make(map[pairName][]*result, len(c.results))
			for _, r := range c.results {
				name := pairName{r.Rule, r.Subject}
				byPair[name] = append(byPair[name], r)
			}
		}
		for _, weaker := range by.rule.Supersedes {
			for _, r := range byPair[pairName{weaker, by.Subject}] {
				if r.Outcome == decision.Fired || r.Outcome == decision.Unknown && saysAsMuch(by, r, asked) {
					r.Hidden = &decision.Hidden{Code: decision.HiddenSuperseded, By: by.Rule}
				}
			}
		}
	}
}

// saysAsMuch reports whether a rule that fired leaves nothing open of one that could
// not tell.
func saysAsMuch(by, r *result, asked map[packSubject]*asking) bool {
	if wouldFire(r) {
		return false
	}
	return cdshooks.Indicator(by.Severity).Rank() <= cdshooks.Indicator(r.Severity).Rank() ||
		asked[packSubject{r.pack, r.Subject}].tells(r) != ""
}

// wouldFire reports whether an older result that can be used would make a rule fire
// that cannot tell.
func wouldFire(r *result) bool {
	return r.Outcome == decision.Unknown && r.Fact != nil && r.Fact.IfOlder == fact.True
}

// hideRepeated hides a rule's second finding that rests on exactly the same
// resources, as when both drugs of an interacting pair are drafts.
func (c *composer) hideRepeated() {
	first := map[string]*result{}
	for _, r := range c.results {
		if r.Outcome != decision.Fired || r.Hidden != nil || r.rule == nil || r.Fact == nil {
			continue
		}
		evidence, more := r.Fact.Gather()
		if more > 0 { // nobody can tell whether they are the same
			continue
		}
		refs := []string{r.Subject}
		for _, e := range evidence {
			refs = append(refs, e.Ref)
		}
		slices.Sort(refs)
		key := r.Rule + "\n" + strings.Join(slices.Compact(refs), "\n")
		if other := first[key]; other == nil {
			first[key] = r
		} else if len(slices.Compact(refs)) > 1 && other.Subject != r.Subject {
			r.Hidden = &decision.Hidden{Code: decision.HiddenRepeated, By: other.Subject}
		}
	}
}

func (c *composer) add(card cdshooks.Card, key [3]string, of ...*result) {
	card.UUID = c.uuid("card", key[0], key[1], key[2])
	for i := range card.Suggestions {
		card.Suggestions[i].UUID = c.uuid("suggestion", key[0], key[1], key[2], strconv.Itoa(i))
	}
	c.cards = append(c.cards, &composed{Card: card, key: key, results: of})
}

// uuid returns a version 8 UUID of the record and the parts: the same record
// always has the same ids, and no two cards share one.
func (c *composer) uuid(parts ...string) string {
	text := make([]byte, 0, 256)
	field := func(s string) { text = append(append(strconv.AppendInt(text, int64(len(s)), 10), ':'), s...) }
	field("precept-uuid/1")
	field(c.in.RecordID)
	for _, p := range parts {
		field(p)
	}
	sum := sha256.Sum256(text)
	u := uuid.UUID(sum[:16])
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return u.String()
}

func (c *composer) say(english string, with ...string) string {
	return clinical.CoreText(c.in.Language, english, with...)
}

func (c *composer) count(n int, one, many string, with ...string) string {
	return clinical.CoreCount(c.in.Language, n, one, many, with...)
}

func (c *composer) firedCard(r *result) cdshooks.Card {
	card := cdshooks.Card{
		Summary:   shorten(r.draft.summary),
		Indicator: cdshooks.Indicator(r.Severity),
		Source:    sourceOf(r),
		Detail:    c.detail(r),
	}
	card.Suggestions = slices.Grow(card.Suggestions, len(r.draft.suggestions))
	for _, s := range r.draft.suggestions {
		a := cdshooks.Action{Type: s.Action, Description: s.Label, Resource: s.Resource, ResourceID: s.Ref}
		card.Suggestions = append(card.Suggestions, cdshooks.Suggestion{Label: s.Label, Actions: []cdshooks.Action{a}})
	}
	if len(card.Suggestions) > 0 {
		card.SelectionBehavior = "any"
	}
	for _, l := range r.draft.links {
		card.Links = append(card.Links, cdshooks.Link{Label: l[0], URL: l[1], Type: "absolute"})
	}
	card.OverrideReasons = slices.Grow(card.OverrideReasons, len(r.rule.Reasons))
	for _, o := range r.rule.Reasons {
		card.OverrideReasons = append(card.OverrideReasons,
			cdshooks.Coding{Code: o.Code, System: o.System, Display: c.say(o.Display)})
	}
	return card
}

// topicSystem is the code system of the rules' topics.
const topicSystem = "https://github.com/precept-cds/precept/topic"

func sourceOf(r *result) cdshooks.Source {
	s := cdshooks.Source{Label: r.pack.pack.Manifest.Title,
		Topic: &cdshooks.Coding{Code: r.rule.Topic, System: topicSystem}}
	if len(r.rule.Sources) > 0 {
		s.URL = r.rule.Sources[0].Ref
		if d := r.rule.Sources[0].Description; d != "" {
			s.Label = d
		}
	}
	return s
}

// detail is the rule's own text and the block that lets a clinician review the
// basis: what was used, what is not known, and where the rule comes from.
func (c *composer) detail(r *result) string {
	var b strings.Builder
	b.Grow(1024)
	if r.draft.detail != "" {
		b.WriteString(r.draft.detail + "\n\n")
	}
	c.basis(&b, r)
	b.WriteString("**" + c.say("Source") + "**\n\n")
	for _, s := range r.rule.Sources {
		b.WriteString("- " + cmp.Or(s.Description, s.Ref) + "\n")
	}
	fmt.Fprintf(&b, "- %s %s, %s\n", r.pack.pack.Manifest.Name, r.pack.pack.Manifest.Version, r.rule.ID)
	if r.pack.pack.Manifest.Status != manifest.StatusActive {
		b.WriteString("\n" + c.say("This rule is a draft and has no clinical approval.") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *composer) basis(b *strings.Builder, r *result) {
	used, missing, more := basis(r.Finding)
	if len(used) > 0 {
		b.WriteString("**" + c.say("Based on") + "**\n\n")
		list(c, b, used, more, func(line string) string { return line })
		b.WriteString("\n")
	}
	if len(missing) > 0 {
		b.WriteString("**" + c.say("Not known") + "**\n\n")
		list(c, b, missing, 0, c.reason)
		b.WriteString("\n")
	}
}

// A list on a card has at most so many lines and bytes, but always its first line; the
// others, which the record has, are counted.
const (
	maxLines = 50
	maxList  = 16 << 10
)

// list writes the lines of a list and how many more there are.
func list[T any](c *composer, b *strings.Builder, of []T, more int, line func(T) string) {
	from := b.Len()
	for i, x := range of {
		text := line(x)
		if i > 0 && (i == maxLines || b.Len()-from+len(text) > maxList) {
			more += len(of) - i
			break
		}
		b.WriteString("- ")
		b.WriteString(text)
		b.WriteByte('\n')
	}
	if more > 0 {
		b.WriteString("- " + c.count(more, "and 1 more", "and {n} more") + "\n")
	}
}

// basis reads off a finding what was used and what is not known: the graph of
// its fact, and what only the wording of the card looked at and found so, or
// could not tell. More counts resources that facts and values do not name.
func basis(finding *decision.Finding) (used []string, missing []fact.Reason, more int) {
	var facts fact.Graph
	var values fact.Distinct[*fact.Value]
	var lines fact.Distinct[string]
	var reasons fact.Distinct[fact.Reason]
	visit := func(f *fact.Fact) {
		for _, v := range f.Values {
			if v.State == fact.Known && values.Add(v) {
				lines.Add(valueLine(v))
				more += v.More
			}
		}
		more += f.More
		for _, e := range f.Evidence {
			lines.Add(evidenceLine(e))
		}
		if f.State == fact.Unknown {
			for _, r := range f.Reasons {
				reasons.Add(r)
			}
		}
	}
	facts.Walk(finding.Fact, visit)
	for _, f := range finding.Also {
		if f.State != fact.False {
			facts.Walk(f, visit)
		}
	}
	return lines.List, reasons.List, more
}

func valueLine(v *fact.Value) string {
	line := clinical.Plain(v.Name) + ": " + v.String()
	var where []string
	for _, e := range v.Evidence {
		if len(v.Evidence) == 1 {
			where = append(where, strings.TrimPrefix(clinical.Plain(e.Note)+"; ", "; ")+place(e))
		} else { // derived of several: each with its own value
			where = append(where, clinical.Plain(e.What+" "+e.Value+" "+e.Unit)+", "+place(e))
		}
	}
	if v.Method != "" {
		where = append([]string{v.Method}, where...)
	}
	if len(where) > 0 {
		line += " (" + strings.Join(where, "; ") + ")"
	}
	return line
}

func evidenceLine(e fact.Evidence) string {
	b := make([]byte, 0, 256) // most fit in
	b = append(b, clinical.Plain(e.What)...)
	if e.Value != "" {
		b = append(append(b, ": "...), clinical.Plain(e.Value+" "+e.Unit)...)
	}
	if e.Note != "" {
		b = append(append(b, ", "...), clinical.Plain(e.Note)...)
	}
	return string(append(append(append(b, " ("...), place(e)...), ')'))
}

func place(e fact.Evidence) string {
	if e.When == "" {
		return clinical.Plain(e.Ref)
	}
	return clinical.Plain(e.When) + ", " + clinical.Plain(e.Ref)
}

func (c *composer) reason(r fact.Reason) string { return clinical.ReasonText(c.in.Language, r) }

// unknownCards shows what could not be told: one card for each subject and
// set of reasons.
func (c *composer) unknownCards() {
	groups, asked := map[string][]*result{}, c.askedFor()
	var order []string
	for _, r := range c.results {
		if r.Outcome != decision.Unknown || r.rule == nil || r.Hidden != nil {
			continue
		}
		by := asked[packSubject{r.pack, r.Subject}].tells(r)
		switch {
		case r.rule.Unknown == clinical.UnknownSilent && !wouldFire(r):
			r.Hidden = &decision.Hidden{Code: decision.HiddenSilent}
		case fact.Quiet(r.Fact.Reasons) && !wouldFire(r):
			r.Hidden = &decision.Hidden{Code: decision.HiddenQuiet}
		case by != "" && !wouldFire(r):
			r.Hidden = &decision.Hidden{Code: decision.HiddenNamed, By: by}
		default:
			key := r.Subject + "\n" + reasonKey(r.Fact.Reasons)
			if wouldFire(r) {
				key += "\n" + valueLine(olderOf(r.Fact))
			}
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], r)
		}
	}
	for _, key := range order {
		c.unknownCard(groups[key])
	}
}

func reasonKey(reasons []fact.Reason) string {
	keys := make([]string, len(reasons))
	for i, r := range reasons {
		keys[i] = string(r.Code) + "|" + r.What
	}
	slices.Sort(keys)
	return strings.Join(keys, "\n")
}

// asking is the data that the rules of one pack that fired on one subject ask for.
type asking struct {
	by    string // the first of these rules
	named fact.Distinct[fact.Reason]
}

// packSubject names a pack and a subject.
type packSubject struct {
	pack    *Part
	subject string
}

// askedFor collects what the cards of fired rules ask for, because it is lacking.
func (c *composer) askedFor() map[packSubject]*asking {
	all := map[packSubject]*asking{}
	for _, o := range c.results {
		if o.Outcome != decision.Fired || o.Hidden != nil || o.rule == nil {
			continue
		}
		o.Fact.Walk(func(f *fact.Fact) {
			if f.Op != "fact.lacking" || f.State != fact.True {
				return
			}
			key := packSubject{o.pack, o.Subject}
			if all[key] == nil {
				all[key] = &asking{by: o.Rule}
			}
			for _, reason := range f.Reasons {
				all[key].named.Add(reason)
			}
		})
	}
	return all
}

// tells returns the rule of the same pack that fired on the subject because the very
// data is lacking, so that its card asks for it; empty if there is none.
func (a *asking) tells(r *result) string {
	if a == nil || len(r.Fact.Reasons) == 0 {
		return ""
	}
	for _, reason := range r.Fact.Reasons {
		if _, ok := a.named.Find(reason); !ok {
			return ""
		}
	}
	return a.by
}

func (c *composer) unknownCard(group []*result) {
	indicator, r := cdshooks.Info, group[0]
	var detail strings.Builder
	detail.WriteString(c.say("These checks could not be completed:") + "\n\n")
	for _, g := range group {
		if g.rule.Unknown == clinical.UnknownWarning || wouldFire(g) {
			indicator = cdshooks.Warning
		}
	}
	list(c, &detail, group, 0, func(g *result) string { return g.rule.Title + " (" + g.rule.ID + ")" })
	detail.WriteString("\n**" + c.say("Not known") + "**\n\n")
	list(c, &detail, r.Fact.Reasons, 0, c.reason)
	why, unread := c.say("reason not given"), ""
	if len(r.Fact.Reasons) > 0 {
		loud := slices.IndexFunc(r.Fact.Reasons, func(why fact.Reason) bool { return !why.Quiet })
		first := r.Fact.Reasons[max(loud, 0)]
		why, unread = c.reason(first), culprit(r.Fact, first)
	}
	summary := withName(c.count(len(group), "{drug}: 1 check could not be completed: {why}",
		"{drug}: {n} checks could not be completed: {why}", "drug", r.order, "why", why), unread)
	if wouldFire(r) {
		older := olderOf(r.Fact)
		summary = c.say("{drug}: {value} of {when} would raise an alert, but it may not hold: {why}", "drug", r.order,
			"value", clinical.Plain(older.Name)+" "+older.String(), "when", day(older.When), "why", why)
		detail.WriteString("\n**" + c.say("Last value that can be used, and that would raise them") + "**\n\n- " +
			valueLine(older) + "\n")
	}
	c.unread(&detail, r.Fact)
	c.remedies(&detail, r.Fact.Reasons)
	card := cdshooks.Card{Summary: shorten(summary), Indicator: indicator,
		Detail: strings.TrimSuffix(detail.String(), "\n"),
		Source: cdshooks.Source{Label: r.pack.pack.Manifest.Title,
			Topic: &cdshooks.Coding{Code: "check-not-completed", System: topicSystem}}}
	c.add(card, [3]string{r.Rule, r.Subject, "unknown"}, group...)
}

// day is a date as sent, without its time.
func day(when string) string {
	date, _, _ := strings.Cut(when, "T")
	return clinical.Plain(date)
}

// olderOf returns the older value that would make an unknown fact true.
func olderOf(f *fact.Fact) *fact.Value {
	var found *fact.Value
	f.Walk(func(f *fact.Fact) {
		for _, v := range f.Values {
			if found == nil && v.Older != nil && f.IfOlder != fact.Unknown {
				found = v.Older
			}
		}
	})
	return found
}

func (c *composer) unidentifiedCard() {
	i := slices.IndexFunc(c.results, func(r *result) bool { return r.Rule == decision.Unidentified })
	if i < 0 {
		return
	}
	r := c.results[i]
	summary := c.count(len(r.Fact.Evidence), "1 ordered medication could not be identified: it was not checked",
		"{n} ordered medications could not be identified: they were not checked")
	why := c.say("No rule was asked about these orders, because they carry no code that the terminology knows.")
	if known := c.say("known in part"); slices.ContainsFunc(r.Fact.Evidence,
		func(e fact.Evidence) bool { return e.Value == known }) {
		why = c.say("Of these medications only the ingredients that the terminology knows were checked.")
		if !slices.ContainsFunc(r.Fact.Evidence, func(e fact.Evidence) bool { return e.Value != known }) {
			summary = c.count(len(r.Fact.Evidence),
				"1 ordered medication is known only in part: the rest of it was not checked",
				"{n} ordered medications are known only in part: the rest of them was not checked")
		}
	}
	var detail strings.Builder
	list(c, &detail, r.Fact.Evidence, 0, evidenceLine)
	whose := func(x fact.Reason) bool { return x.Code == fact.NotThisPatient }
	if slices.ContainsFunc(r.Fact.Reasons, func(x fact.Reason) bool { return !whose(x) }) {
		detail.WriteString("\n" + why)
	}
	if slices.ContainsFunc(r.Fact.Reasons, whose) {
		detail.WriteString("\n" + c.say("No rule was asked about orders that are not shown to be for this patient."))
	}
	detail.WriteByte('\n')
	c.remedies(&detail, r.Fact.Reasons)
	if len(r.Fact.Evidence) == 1 {
		summary = withName(summary, evidenceName(r.Fact.Evidence[0], ""))
	}
	c.add(cdshooks.Card{Summary: summary, Indicator: cdshooks.Info,
		Detail: strings.TrimSuffix(detail.String(), "\n"), Source: cdshooks.Source{Label: "Precept",
			Topic: &cdshooks.Coding{Code: "unidentified-order", System: topicSystem}}},
		[3]string{r.Rule, r.Subject, ""}, r)
}

// notCheckedCard names the checks of consequence that failed or were cut.
func (c *composer) notCheckedCard() {
	var missed []*result
	for _, r := range c.results {
		if r.Outcome == decision.Failed || r.Outcome == decision.WasCut {
			if cdshooks.Indicator(r.Severity).Rank() <= cdshooks.Warning.Rank() {
				missed = append(missed, r)
			} else {
				r.Hidden = &decision.Hidden{Code: decision.HiddenMinor}
			}
		}
	}
	if len(missed) == 0 {
		return
	}
	summary := c.count(len(missed), "1 safety check was not done", "{n} safety checks were not done")
	if slices.ContainsFunc(missed, func(r *result) bool { return r.rule == nil }) {
		summary = c.say("Safety checks were not done") // nobody can tell how many
	}
	var detail strings.Builder
	detail.WriteString(c.say("Precept could not do these checks for this order. Check by hand:") + "\n\n")
	list(c, &detail, missed, 0, (*result).named)
	c.add(cdshooks.Card{Summary: summary, Indicator: cdshooks.Warning,
		Detail: strings.TrimSuffix(detail.String(), "\n"),
		Source: cdshooks.Source{Label: "Precept",
			Topic: &cdshooks.Coding{Code: "check-not-done", System: topicSystem}}},
		[3]string{decision.NotChecked, decision.PatientSubject, ""}, missed...)
}

// named names the check and its subject.
func (r *result) named() string { return r.title + ": " + r.order + " (" + r.Rule + ")" }

// inOrder compares cards in their one order.
func inOrder(a, b *composed) int {
	return cmp.Or(cmp.Compare(a.Indicator.Rank(), b.Indicator.Rank()),
		strings.Compare(a.key[0], b.key[0]), strings.Compare(a.key[1], b.key[1]), strings.Compare(a.key[2], b.key[2]))
}

// finish puts the cards in their one order, caps them, and tells each finding
// its card. Critical cards are never capped, nor are those that say what was
// not checked.
func (c *composer) finish() cdshooks.Response {
	slices.SortFunc(c.cards, inOrder)
	shown := make([]*composed, 0, len(c.cards))
	for i, card := range c.cards {
		capped := c.maxCards > 0 && i >= c.maxCards && card.Indicator != cdshooks.Critical && !card.kept()
		if !capped {
			shown = append(shown, card)
			continue
		}
		for _, r := range card.results {
			r.Hidden = &decision.Hidden{Code: decision.HiddenLimit, Limit: c.maxCards}
		}
	}
	shown = c.fit(shown)
	resp := cdshooks.Response{Cards: make([]cdshooks.Card, len(shown))}
	for i, card := range shown {
		resp.Cards[i] = card.Card
		for _, r := range card.results {
			r.Finding.Card = card.UUID
		}
	}
	return resp
}

// kept says that a card stays whatever the limits: without those that say what was not
// checked the others would pass for everything there is.
func (c *composed) kept() bool {
	return c.key[0] == decision.NotChecked || c.key[0] == decision.Unidentified
}

// maxAnswer is how many bytes the cards of an answer have together.
const maxAnswer = 3 << 20

// fit has the last cards named by one if the answer would be too large with them.
// That one is as urgent as they are, so critical findings are never passed over.
func (c *composer) fit(cards []*composed) []*composed {
	left := maxAnswer
	for _, card := range cards {
		if card.kept() {
			left -= card.size()
		}
	}
	var fitting []*composed
	over := &composed{Card: cdshooks.Card{Indicator: cdshooks.Info}, key: [3]string{decision.NotShown,
		decision.PatientSubject, ""}}
	n := 0
	for _, card := range cards {
		if !card.kept() {
			if left -= card.size(); left < 0 {
				n++
				over.results = append(over.results, card.results...)
				if card.Indicator.Rank() < over.Indicator.Rank() {
					over.Indicator = card.Indicator
				}
				continue
			}
		}
		fitting = append(fitting, card)
	}
	if n == 0 {
		return cards
	}
	var detail strings.Builder
	detail.WriteString(c.say("These findings are in the record of this call:") + "\n\n")
	list(c, &detail, over.results, 0, (*result).named)
	over.Summary = c.count(n, "1 more card does not fit into this answer", "{n} more cards do not fit into this answer")
	over.Detail = strings.TrimSuffix(detail.String(), "\n")
	over.Source = cdshooks.Source{Label: "Precept", Topic: &cdshooks.Coding{Code: "not-shown", System: topicSystem}}
	over.UUID = c.uuid("card", over.key[0], over.key[1], over.key[2])
	at, _ := slices.BinarySearchFunc(fitting, over, inOrder)
	return slices.Insert(fitting, at, over)
}

// size is how many bytes a card takes in an answer, about.
func (c *composed) size() int {
	n := 512 + jsonLen(c.Summary) + jsonLen(c.Detail) + jsonLen(c.Source.Label) + jsonLen(c.Source.URL)
	for _, s := range c.Suggestions {
		n += 128 + jsonLen(s.Label)
		for _, a := range s.Actions {
			n += 64 + jsonLen(a.Description) + len(a.Resource) + jsonLen(a.ResourceID)
		}
	}
	for _, l := range c.Links {
		n += 64 + jsonLen(l.Label) + jsonLen(l.URL)
	}
	return n + 256*len(c.OverrideReasons)
}

// jsonLen is the largest number of bytes that a text has in JSON.
func jsonLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			n += 5
		}
	}
	return n
}

// shorten keeps a summary inside what CDS Hooks allows.
func shorten(s string) string {
	if utf8.RuneCountInString(s) <= cdshooks.MaxSummary {
		return s
	}
	return string([]rune(s)[:cdshooks.MaxSummary-1]) + "…"
}
