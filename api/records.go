package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
)

// maxSearch bounds the body of a search.
const maxSearch = 64 << 10

// filter is a search as the engine takes it. What a person looks for is kept in
// the record of the access, so each word of it is bounded before.
func filter(q wire.Search) (audit.Filter, error) {
	var patient wire.Patient
	if q.Patient != nil {
		patient = *q.Patient
	}
	for _, word := range []struct {
		name, value string
		most        int
	}{
		{"rule", q.Rule, 130}, {"kind", q.Kind, 30}, {"cursor", q.Cursor, 30},
		{"patient.base", patient.Base, 2000}, {"patient.id", patient.ID, 2000},
	} {
		if len(word.value) > word.most || !utf8.ValidString(word.value) {
			return audit.Filter{}, badParameter(word.name, fmt.Sprintf("at most %d bytes of UTF-8", word.most))
		}
	}
	f := audit.Filter{From: q.From, To: q.To, Rule: q.Rule, Kind: audit.Kind(q.Kind), Limit: q.Limit, Cursor: q.Cursor}
	if q.Patient != nil {
		if q.Patient.Base == "" || q.Patient.ID == "" {
			return f, badParameter("patient", "base and id")
		}
		f.Patient = audit.Patient{Base: q.Patient.Base, ID: q.Patient.ID}
	}
	return f, nil
}

// parseQuery reads a search from query parameters.
func parseQuery(raw string) (wire.Search, error) {
	var q wire.Search
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, badParameter("query", "name=value pairs joined by &")
	}
	allowed := []string{"from", "to", "rule", "kind", "limit", "cursor"}
	for name, given := range values {
		switch {
		case name == "patient":
			return q, badParameter("patient",
				"POST to records/search with the patient in the body, because URLs end up in logs")
		case !slices.Contains(allowed, name):
			return q, badParameter("query", "only the parameters "+strings.Join(allowed, ", "))
		case len(given) != 1:
			return q, badParameter(name, "one value")
		}
	}
	q.Rule, q.Kind, q.Cursor = values.Get("rule"), values.Get("kind"), values.Get("cursor")
	for _, t := range []struct {
		name string
		into *time.Time
	}{{"from", &q.From}, {"to", &q.To}} {
		if text := values.Get(t.name); text != "" {
			if *t.into, err = time.Parse(time.RFC3339, text); err != nil {
				return q, badParameter(t.name, "an RFC 3339 time")
			}
		}
	}
	if text := values.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil {
			return q, badParameter("limit", "a number from 1 to 1000")
		}
	}
	return q, nil
}

// records lists records by query parameters.
func (s *Server) records(x *exchange) error {
	q, err := parseQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	return s.list(x, q)
}

// searchRecords lists records by a filter in the body.
func (s *Server) searchRecords(x *exchange) error {
	if err := x.wantJSON(); err != nil {
		return err
	}
	body, err := s.body(x, aSearch, searchPlaces, maxSearch)
	if err != nil {
		return err
	}
	q, err := parseSearch(body)
	if err != nil {
		return err
	}
	return s.list(x, q)
}

func parseSearch(body []byte) (wire.Search, error) {
	var q wire.Search
	if err := json.Unmarshal(body, &q, json.RejectUnknownMembers(true)); err != nil {
		return q, badParameter("body",
			"a JSON object with from, to, patient {base, id}, rule, kind, limit and cursor, as needed")
	}
	return q, nil
}

func (s *Server) list(x *exchange, q wire.Search) error {
	f, err := filter(q)
	if err != nil {
		return err
	}
	page, err := s.engine.Records(x.r.Context(), x.caller, f)
	if err != nil {
		return err
	}
	return replyJSON(x, http.StatusOK, wireRecordPage(page))
}

// record shows one record.
func (s *Server) record(x *exchange) error {
	r, err := s.engine.Record(x.r.Context(), x.caller, x.param("id"))
	if err != nil {
		return err
	}
	x.record = r.ID
	return replyJSON(x, http.StatusOK, wireRecord(r))
}

// explain says why a decision is what it is.
func (s *Server) explain(x *exchange) error {
	why, err := s.engine.Explain(x.r.Context(), x.caller, x.param("id"))
	if err != nil {
		return err
	}
	x.record = x.param("id")
	return replyJSON(x, http.StatusOK, why)
}

// proof proves that a record is in its log.
func (s *Server) proof(x *exchange) error {
	p, err := s.engine.Proof(x.r.Context(), x.caller, x.param("id"))
	if err != nil {
		return err
	}
	x.record = x.param("id")
	return replyJSON(x, http.StatusOK, wireProof(p))
}

// statementProof proves that a statement is in the release log.
func (s *Server) statementProof(x *exchange) error {
	index, err := strconv.ParseInt(x.param("index"), 10, 64)
	if err != nil {
		return fmt.Errorf("reading index of statement: %w", audit.ErrNotFound)
	}
	p, err := s.engine.StatementProof(x.r.Context(), x.caller, index)
	if err != nil {
		return err
	}
	return replyJSON(x, http.StatusOK, wireProof(p))
}

// verify recomputes the tenant's logs. A log that does not hold is an answer,
// not an error.
func (s *Server) verify(x *exchange) error {
	report, err := s.engine.Verify(x.r.Context(), x.caller)
	if err != nil {
		return err
	}
	return replyJSON(x, http.StatusOK, Report(report))
}

// logs lists the newest signed heads of the tenant's logs.
func (s *Server) logs(x *exchange) error {
	heads, err := s.engine.Logs(x.r.Context(), x.caller)
	if err != nil {
		return err
	}
	return replyJSON(x, http.StatusOK, wireLogs(heads))
}

// logName is the log that the path names.
func (x *exchange) logName() (string, error) {
	name := string(audit.Releases)
	if month := x.param("month"); month != "" {
		name = "audit/" + month
	}
	log, err := audit.ParseLogName(name)
	if err != nil {
		return "", fmt.Errorf("reading log name: %w", audit.ErrNotFound)
	}
	return string(log), nil
}
