package rulepacks

import "github.com/precept-cds/precept/rulepacks/packfile"

// What can be wrong with a pack beyond one of its files. Errors of this package
// are a *[packfile.Problem], or several joined (see [packfile.Problems]), and
// match these, or those of the packages that read the files, with errors.Is.
const (
	// ErrNotCanonical says that an archive holds acceptable files in a form
	// other than the one canonical form. Build it again with precept pack build.
	ErrNotCanonical packfile.Kind = "not-canonical"
	// ErrNotRegular says that an entry is not a regular file: a link, a device,
	// an extended header. Replace it by the file it stands for.
	ErrNotRegular packfile.Kind = "not-a-regular-file"
	// ErrUnsafeName says that an entry name could escape its folder or read
	// differently elsewhere. Rename the file.
	ErrUnsafeName packfile.Kind = "unsafe-file-name"
	// ErrDuplicate says that two entries have one name, also when only letter
	// case differs or when one is the folder of the other. Rename one.
	ErrDuplicate packfile.Kind = "duplicate-file-name"
	// ErrUnknownFile says that a file has no place in the layout of a pack.
	// Move it out of the pack.
	ErrUnknownFile packfile.Kind = "unknown-file"
	// ErrMessages says that translations and source texts disagree.
	ErrMessages packfile.Kind = "messages-refused"
	// ErrDigest says that a text is not a digest: 64 lower-case hex digits.
	ErrDigest packfile.Kind = "not-a-digest"
)
