package rulepacks

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// Digest is a SHA-256 as 64 lower-case hex digits. [ParseDigest] validates one
// that comes from outside; the zero value is not a digest.
type Digest string

// ParseDigest returns s as a digest, or an error that is [ErrDigest]. Because a
// digest holds only hex digits it is safe as a file name or a path segment.
func ParseDigest(s string) (Digest, error) {
	if len(s) != 2*sha256.Size || strings.Trim(s, "0123456789abcdef") != "" {
		return "", &packfile.Problem{What: "parsing a pack digest", Kind: ErrDigest,
			Hint: "expected 64 lower-case hex digits"}
	}
	return Digest(s), nil
}

// sumTar returns the digest of the canonical tar of files in canonical order.
func sumTar(files []packfile.File) (Digest, error) {
	h := sha256.New()
	if err := writeTar(h, files); err != nil {
		return "", err
	}
	return Digest(hex.EncodeToString(h.Sum(nil))), nil
}

// sumDir returns Hash1 of golang.org/x/mod/sumdb/dirhash over the files as hex,
// the form in which the in-toto digest set names it dirHash1.
func sumDir(files []packfile.File) (string, error) {
	names := make([]string, len(files))
	content := make(map[string][]byte, len(files))
	for i, f := range files {
		names[i] = f.Name
		content[f.Name] = f.Data
	}
	h1, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content[name])), nil
	})
	if err != nil {
		return "", fmt.Errorf("hashing the pack's files: %w", err)
	}
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h1, "h1:"))
	if err != nil {
		return "", fmt.Errorf("decoding the directory hash: %w", err)
	}
	return hex.EncodeToString(sum), nil
}
