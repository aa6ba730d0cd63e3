package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
)

// parseEvidence reads what of a record is asked for.
func parseEvidence(raw string) (o engine.EvidenceOptions, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return o, badParameter("query", "name=value pairs joined by &")
	}
	for name, given := range values {
		if len(given) != 1 {
			return o, badParameter("query", "each parameter once")
		}
		switch name {
		case "patient-data":
			if given[0] != "true" && given[0] != "false" {
				return o, badParameter(name, "true or false")
			}
			o.PatientData = given[0] == "true"
		case "since":
			log, size, _ := strings.Cut(given[0], ":")
			parsed, err := audit.ParseLogName(log)
			n, errSize := strconv.ParseInt(size, 10, 64)
			if err != nil || errSize != nil || n < 1 {
				return o, badParameter(name, "a log and a number of leaves, such as audit/2026-03:15")
			}
			o.Since = audit.Since{Log: parsed, Size: n}
		default:
			return o, badParameter("query", "only the parameters patient-data, since")
		}
	}
	return o, nil
}

// evidence sends the evidence file of a record. What goes wrong once it has begun cuts it short, which its reader
// notices.
func (s *Server) evidence(x *exchange) error {
	o, err := parseEvidence(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	p, done, err := s.engine.Evidence(x.r.Context(), x.caller, x.param("id"), o)
	if err != nil {
		return err
	}
	defer done()
	x.record = x.param("id")
	// Who does not read holds no place for longer. Writers without deadlines fail, which changes nothing.
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(time.Now().Add(s.cfg.Timeouts.Slow))
	h := x.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Length", strconv.FormatInt(p.Size, 10))
	h.Set("Content-Disposition", `attachment; filename="evidence-`+x.record+`.tar"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(http.StatusOK)
	return p.Write(x.r.Context(), x)
}
