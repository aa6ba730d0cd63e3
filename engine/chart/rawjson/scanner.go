package rawjson

// Scanner walks checked text once, from front to back: the caller enters the
// containers it cares for and skips the rest. It counts levels as it goes.
type Scanner struct {
	Src   string
	Max   int // deepest level allowed; 0 is no limit
	Deep  int // offset of the first bracket beyond Max, plus 1; 0 is none
	pos   int
	level int
	first bool // just entered a container
}

// Pos returns the offset of the next unread byte.
func (s *Scanner) Pos() int { return s.pos }

// space passes over white space; checked text has no other byte below it
// between its tokens.
func (s *Scanner) space() {
	for s.pos < len(s.Src) && s.Src[s.pos] <= ' ' {
		s.pos++
	}
}

// Kind returns the first byte of the next value: one of { [ " t f n - 0..9.
func (s *Scanner) Kind() byte {
	s.space()
	return s.Src[s.pos]
}

// Enter goes into the next value, which must be an object or an array, and
// reports true; any other value is left where it is.
func (s *Scanner) Enter() bool {
	if k := s.Kind(); k != '{' && k != '[' {
		return false
	}
	s.level++
	s.note(s.level, s.pos)
	s.pos++
	s.first = true
	return true
}

func (s *Scanner) note(level, pos int) {
	if s.Max > 0 && level > s.Max && s.Deep == 0 {
		s.Deep = pos + 1
	}
}

// More reports whether the container entered last has another member or
// element, and goes to it; at the end it leaves the container.
func (s *Scanner) More() bool {
	s.space()
	c := s.Src[s.pos]
	if c == '}' || c == ']' {
		s.pos++
		s.level--
		s.first = false
		return false
	}
	if c == ',' && !s.first {
		s.pos++
	}
	s.first = false
	return true
}

// Name reads the name of the next member and the colon after it.
func (s *Scanner) Name() string {
	name := s.quoted()
	s.space()
	s.pos++ // the colon
	return name
}

// Text reads the next value and returns its content if it is a string; null
// has the empty text. ok is false for any other value.
func (s *Scanner) Text() (text string, ok bool) {
	if s.Kind() == '"' {
		s.first = false
		return s.quoted(), true
	}
	return "", s.Skip().IsNull()
}

// quoted reads a string; without escapes it copies nothing.
func (s *Scanner) quoted() string {
	s.space()
	src, start, escaped := s.Src, s.pos, false
	i := start + 1
	for ; src[i] != '"'; i++ {
		if src[i] == '\\' {
			escaped = true
			i++
		}
	}
	s.pos = i + 1
	if escaped {
		return unquote(src[start:s.pos])
	}
	return src[start+1 : i]
}

// Skip reads the next value whole.
func (s *Scanner) Skip() Value {
	s.space()
	start := s.pos
	switch s.Src[s.pos] {
	case '"':
		s.skipString()
	case '{', '[':
		s.skipContainer()
	default:
		s.skipLiteral()
	}
	s.first = false
	return Value(s.Src[start:s.pos])
}

func (s *Scanner) skipString() {
	src, i := s.Src, s.pos+1
	for src[i] != '"' {
		if src[i] == '\\' {
			i++
		}
		i++
	}
	s.pos = i + 1
}

func (s *Scanner) skipLiteral() {
	for s.pos < len(s.Src) {
		switch s.Src[s.pos] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return
		}
		s.pos++
	}
}

// skipContainer is the hot loop: most of a request is skipped here.
func (s *Scanner) skipContainer() {
	src, i, level := s.Src, s.pos, s.level
	for {
		switch src[i] {
		case '{', '[':
			level++
			if s.Max > 0 && level > s.Max {
				s.note(level, i)
			}
		case '}', ']':
			if level--; level == s.level {
				s.pos = i + 1
				return
			}
		case '"':
			for i++; src[i] != '"'; i++ {
				if src[i] == '\\' {
					i++
				}
			}
		}
		i++
	}
}
