package chart

import (
	"net/url"
	"strings"
)

// CanonicalBase returns the one spelling of the address of a FHIR server:
// scheme and host in lower case, no default port, no trailing slash, and
// percent-encoding only where it is needed. ok is false for what is no absolute
// http or https address, or has a user, a query, a fragment or dot segments.
func CanonicalBase(address string) (base string, ok bool) {
	if isCanonical(address) { // nearly always
		return address, true
	}
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.User != nil || u.ForceQuery || u.RawQuery != "" || u.Host == "" ||
		strings.ContainsRune(address, '#') {
		return "", false
	}
	host, port := strings.ToLower(u.Host), ""
	switch u.Scheme { // in lower case already
	case "http":
		port = ":80"
	case "https":
		port = ":443"
	default:
		return "", false
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	path, ok := canonicalPath(strings.TrimRight(u.EscapedPath(), "/"))
	if !ok || host == "" {
		return "", false
	}
	return u.Scheme + "://" + host + path, true
}

// isCanonical reports whether an address is plainly its own canonical spelling;
// for some that are it says no.
func isCanonical(address string) bool {
	rest, ok := strings.CutPrefix(address, "https://")
	if !ok {
		return false
	}
	host, path, _ := strings.Cut(rest, "/")
	for i := 0; i < len(host); i++ {
		if c := host[i]; c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	for i := 0; i < len(path); i++ {
		if c := path[i]; c != '/' && (c == '.' || !unreserved(c)) {
			return false
		}
	}
	return host != "" && address[len(address)-1] != '/'
}

// canonicalPath decodes what need not be percent-encoded and writes the rest in
// one way, as RFC 3986 section 6.2.2 has it. ok is false if a percent sign
// encodes nothing, or a segment is a dot segment, which no server writes.
func canonicalPath(path string) (_ string, ok bool) {
	if plainPath(path) {
		return path, !dotted(path)
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(path)+8)
	for i := 0; i < len(path); i++ {
		c := path[i]
		encoded := c == '%'
		if encoded {
			if i+2 >= len(path) {
				return "", false
			}
			high, low := unhex(path[i+1]), unhex(path[i+2])
			if high > 15 || low > 15 {
				return "", false
			}
			c, i = high<<4|low, i+2
		}
		if unreserved(c) || !encoded && c > ' ' && c < 0x7f {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out), !dotted(string(out))
}

// plainPath reports that a path has no percent sign and nothing that needs one.
func plainPath(path string) bool {
	for i := 0; i < len(path); i++ {
		if c := path[i]; c == '%' || c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func dotted(path string) bool {
	return strings.Contains(path, "/.") &&
		(strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../"))
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex returns the value of a hexadecimal digit; more than 15 if it is none.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// absolute reports whether a reference names its server, or is a urn.
func absolute(ref string) bool {
	for i := 0; i < len(ref); i++ {
		switch ref[i] {
		case ':':
			return true
		case '/', '?', '#':
			return false
		}
	}
	return false
}

// LocalReference writes a reference as "Type/id" if it names a resource of the
// server with a canonical base, in any spelling: relative or absolute, with or
// without a version. ok is false for every other reference.
func LocalReference(base, ref string) (local string, ok bool) {
	path := ref
	if absolute(ref) {
		if base == "" {
			return "", false
		}
		if path, ok = strings.CutPrefix(ref, base); !ok || !plainPath(path) {
			if ref, ok = CanonicalBase(ref); !ok {
				return "", false
			}
			path, ok = strings.CutPrefix(ref, base)
		}
		if !ok || path == "" || path[0] != '/' {
			return "", false
		}
		path = path[1:]
	} else if path, ok = canonicalPath(path); !ok {
		return "", false
	}
	path = unversioned(strings.TrimRight(path, "/"))
	if strings.ContainsAny(path, "?#%") {
		return "", false
	}
	_, _, ok = splitRef(path)
	return path, ok
}

// LocalID returns the logical id in an id, or in a reference to a resource of a
// type, as LocalReference reads it. ok is false for a reference to anything else.
func LocalID(base, typ, ref string) (id string, ok bool) {
	if !strings.ContainsAny(ref, "/:%?#") { // nearly always
		return ref, true
	}
	if !strings.Contains(ref, "/") {
		ref = typ + "/" + ref
	}
	local, ok := LocalReference(base, ref)
	if !ok {
		return "", false
	}
	return strings.CutPrefix(local, typ+"/")
}

func unversioned(ref string) string {
	before, _, _ := strings.Cut(ref, "/_history/")
	return strings.TrimSuffix(before, "/_history")
}

// splitRef takes "Type/id" apart.
func splitRef(ref string) (typ, id string, ok bool) {
	typ, id, ok = strings.Cut(ref, "/")
	ok = ok && typ != "" && 'A' <= typ[0] && typ[0] <= 'Z' && id != "" && !strings.Contains(id, "/")
	return typ, id, ok
}
