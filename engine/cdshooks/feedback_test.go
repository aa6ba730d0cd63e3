package cdshooks

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseFeedback(t *testing.T) {
	body := `{"feedback":[
	 {"card":"4e0a3a1e-3283-4575-ab82-028d55fe2719","outcome":"accepted",
	  "acceptedSuggestions":[{"id":"e56e1945"}],"outcomeTimestamp":"2026-03-02T15:00:01.25Z"},
	 {"card":"123456","outcome":"overridden",
	  "overrideReasons":{"reason":{"code":"known","system":"https://x.example"},"userComment":"seen"},
	  "outcomeTimestamp":"2026-03-02T10:00:00-05:00"},
	 {"card":"c","outcome":"overridden","overrideReason":{"userComment":"only words","extension":{"com.epic.x":1}},
	  "outcomeTimestamp":"2026-03-02T15:00:00Z"},
	 {"card":"c","outcome":"overridden","outcomeTimestamp":"2026-03-02T15:00:00Z","new":[1]},
	 {"card":"c","outcome":"ignored","outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`
	entries, refused, err := ParseFeedback([]byte(body))
	if err != nil || len(entries) != 4 || len(refused) != 1 || refused[0].Path != "feedback[4].outcome" {
		t.Fatalf("%d entries, refused %v, %v", len(entries), refused, err)
	}
	if entries[0].Accepted[0] != "e56e1945" || entries[1].Reason.Code != "known" ||
		entries[2].Comment != "only words" || entries[3].Reason != nil {
		t.Errorf("%+v", entries)
	}
	if want := time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC); !entries[1].At.Equal(want) ||
		entries[1].At.Location() != time.UTC {
		t.Errorf("time %v", entries[1].At)
	}
}

func TestParseFeedbackRefuses(t *testing.T) {
	const at = `"outcomeTimestamp":"2026-03-02T15:00:00Z"`
	entry := func(s string) string { return `{"feedback":[{` + s + `}]}` }
	for _, c := range []struct{ path, body string }{
		{"body", ``},
		{"body", `[]`},
		{"body", `{"feedback":{}}`},
		{"feedback", `{}`},
		{"feedback", `{"feedback":null}`},
		{"feedback", `{"feedback":[]}`},
		{"feedback[0]", `{"feedback":[1]}`},
		{"body", `{"feedback":[]} {}`},
		{"body", `{"feedback":[{"card":"a","card":"b"}]}`},
		{"body", "{\"feedback\":[{\"card\":\"\xff\"}]}"},
		{"feedback[0].card", entry(`"card":1`)},
		{"feedback[0].card", entry(`"card":"","outcome":"overridden",` + at)},
		{"feedback[0].card", entry(`"card":"` + strings.Repeat("x", 257) + `","outcome":"overridden",` + at)},
		{"feedback[0].acceptedSuggestions", entry(`"card":"c","outcome":"accepted",` + at)},
		{"feedback[0].acceptedSuggestions[0].id",
			entry(`"card":"c","outcome":"accepted","acceptedSuggestions":[{"id":""}],` + at)},
		{"feedback[0].overrideReason.reason",
			entry(`"card":"c","outcome":"overridden","overrideReason":{"reason":{"code":"x"}},` + at)},
		{"feedback[0].overrideReasons",
			entry(`"card":"c","outcome":"overridden","overrideReason":{},"overrideReasons":{},` + at)},
		{"feedback[0].outcomeTimestamp", entry(`"card":"c","outcome":"overridden","outcomeTimestamp":"yesterday"`)},
		{"feedback[0].outcomeTimestamp", entry(`"card":"c","outcome":"overridden"`)},
		{"feedback[0].overrideReason.reason.code",
			entry(`"card":"c","outcome":"overridden","overrideReason":{"reason":{"code":7,"system":"x"}},` + at)},
		{"feedback", `{"feedback":[` + strings.Repeat("1,", MaxFeedback) + `1]}`},
	} {
		_, _, err := ParseFeedback([]byte(c.body))
		bad, ok := errors.AsType[*FeedbackError](err)
		if !ok || bad.Path != c.path || !errors.Is(err, ErrFeedback) {
			t.Errorf("%.80s: %v", c.body, err)
		}
	}
}

func TestFeedbackErrorsHoldNoValue(t *testing.T) {
	for _, body := range []string{`{"feedback":[{"card":["Zzfamilyquill"]}]}`,
		`{"feedback":[{"Zzfamilyquill":1,"Zzfamilyquill":2}]}`, `"Zzfamilyquill"`} {
		_, _, err := ParseFeedback([]byte(body))
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "Zzfamilyquill") {
			t.Errorf("%v", err)
		}
	}
}

func FuzzParseFeedback(f *testing.F) {
	f.Add([]byte(`{"feedback":[{"card":"c","outcome":"accepted","acceptedSuggestions":[{"id":"s"}],` +
		`"outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`))
	f.Add([]byte(`{"feedback":[{"card":"c","outcome":"overridden","overrideReasons":{"userComment":"x"},` +
		`"outcomeTimestamp":"2026-03-02T15:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		entries, _, err := ParseFeedback(body)
		if err != nil && (!errors.Is(err, ErrFeedback) || len(entries) > 0) {
			t.Fatalf("%d entries with %v", len(entries), err)
		}
		for _, e := range entries {
			if e.Card == "" || e.At.IsZero() && e.At.Year() != 1 || e.Outcome == Accepted && len(e.Accepted) == 0 {
				t.Fatalf("unusable entry accepted: %+v", e)
			}
		}
	})
}
