package cdshooks

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// ErrTemplate says that a prefetch template is outside the subset of FHIR
// queries that CDS Hooks 2.0 recommends, so that some EHRs would not run it.
// The message says what to change.
var ErrTemplate = errors.New("prefetch template is not usable")

// maxTemplate is far above any query that an EHR would run.
const maxTemplate = 4096

var (
	templateToken = regexp.MustCompile(`\{\{[^{}]*\}\}`)
	resourceType  = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)
	literalID     = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)
	parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9-]*(:in)?$`)
	// Date prefixes outside the subset: ne, sa, eb, ap before a year.
	badPrefix = regexp.MustCompile(`^(ne|sa|eb|ap)[0-9]{4}`)
	// What may be unescaped in a query value: RFC 3986 unreserved and the
	// marks FHIR uses; everything else differs between EHRs.
	plainValue = regexp.MustCompile(`^[A-Za-z0-9._~,:/$+%*-]*$`)
	fieldName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
)

// tokens says which root members of a hook's context a template may name, by
// the hook library. A value of true means that it holds "Type/id", false that
// it holds a bare id.
func tokens(hook string) (fields map[string]bool, known bool) {
	fields = map[string]bool{"userId": true, "patientId": false, "encounterId": false}
	switch hook {
	case "order-dispatch":
		return map[string]bool{"patientId": false, "performer": true, "order": true}, true
	case "patient-view", "order-select", "order-sign", "encounter-start", "encounter-discharge", "appointment-book",
		"allergyintolerance-create", "medication-refill", "problem-list-item-create", "medication-verify",
		"medication-prescribe", "order-review":
		return fields, true
	}
	return fields, false // the set of hooks is open
}

// CheckTemplate compares a prefetch template of a service that answers hook
// with the subset grammar of CDS Hooks 2.0: a read, a search with plain
// parameters, or a token whose value is a reference. Tokens of hooks outside
// the hook library are checked for their form only.
func CheckTemplate(hook, template string) error {
	if len(template) > maxTemplate {
		return fmt.Errorf("template of %d bytes, at most %d are allowed: %w", len(template), maxTemplate, ErrTemplate)
	}
	var err error
	// Each token becomes a byte that no template holds, so that the rest can be
	// checked as plain text: \x01 for a bare id, \x02 for a reference.
	plain := templateToken.ReplaceAllStringFunc(template, func(token string) string {
		reference, tokenErr := checkToken(hook, strings.Trim(token, "{}"))
		if err == nil {
			err = tokenErr
		}
		if reference {
			return "\x02"
		}
		return "\x01"
	})
	switch {
	case strings.ContainsAny(template, "\x01\x02"):
		return fmt.Errorf("control character: %w", ErrTemplate)
	case err != nil:
		return err
	case strings.ContainsAny(plain, "{}"):
		return fmt.Errorf("braces do not pair; a token is written {{context.patientId}}: %w", ErrTemplate)
	case plain == "\x02":
		return nil
	}
	if resource, query, search := strings.Cut(plain, "?"); search {
		return checkSearch(resource, query)
	}
	return checkRead(plain)
}

func checkToken(hook, token string) (reference bool, err error) {
	switch token {
	case "userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId":
		return false, nil
	}
	field, ok := strings.CutPrefix(token, "context.")
	if !ok || !fieldName.MatchString(field) {
		return false, fmt.Errorf("token %q must be context.<field> or a user token: %w", token, ErrTemplate)
	}
	fields, known := tokens(hook)
	reference, listed := fields[field]
	if known && !listed {
		return false, fmt.Errorf("hook %s offers no token context.%s: %w", hook, field, ErrTemplate)
	}
	return reference, nil
}

func checkRead(plain string) error {
	resource, id, ok := strings.Cut(plain, "/")
	switch {
	case !ok && plain == "\x01":
		return fmt.Errorf("the token is a bare id; write Type/{{...}}: %w", ErrTemplate)
	case !ok || !resourceType.MatchString(resource):
		return fmt.Errorf("want Type/id or Type?name=value: %w", ErrTemplate)
	case id == "\x02":
		return fmt.Errorf("the token already holds Type/id; use it alone: %w", ErrTemplate)
	case id != "\x01" && !literalID.MatchString(id):
		return fmt.Errorf("the id of a read must be one token or a FHIR id: %w", ErrTemplate)
	}
	return nil
}

func checkSearch(resource, query string) error {
	if !resourceType.MatchString(resource) {
		return fmt.Errorf("a search starts with a resource type: %w", ErrTemplate)
	}
	for part := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case !ok || value == "":
			return fmt.Errorf("parameter %q needs a value: %w", name, ErrTemplate)
		case !parameterName.MatchString(name):
			return fmt.Errorf("parameter %q: only plain names and the modifier :in are in the subset: %w", name,
				ErrTemplate)
		case name[0] == '_' && !slices.Contains([]string{"_id", "_count", "_sort", "_lastUpdated", "_tag"}, name):
			return fmt.Errorf("parameter %q is outside the subset: %w", name, ErrTemplate)
		case badPrefix.MatchString(value):
			return fmt.Errorf("parameter %q: only the prefixes eq, lt, gt, ge and le are in the subset: %w", name,
				ErrTemplate)
		}
		literal := strings.NewReplacer("\x01", "", "\x02", "").Replace(value)
		if _, err := url.QueryUnescape(literal); err != nil || !plainValue.MatchString(literal) {
			return fmt.Errorf("value of parameter %q: percent-encode what is not a letter, digit or one of %s: %w",
				name, ". _ ~ , : / $ + * -", ErrTemplate)
		}
	}
	return nil
}
