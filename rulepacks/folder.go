package rulepacks

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// ReadFolder reads a pack from a folder on the author's side, for example
// os.DirFS(dir) or a folder of [Embedded]. The .manifest is generated; one that
// lies in the folder must equal it. Other names that start with a dot, such as
// .git and .editorconfig, belong to the author's tools and are left out. Links
// and files that have no place in a pack are refused, as are sizes that
// [ReadArchive] would refuse by default.
func ReadFolder(fsys fs.FS) (*Pack, error) {
	files, err := walkFolder(fsys, Limits{}.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("reading a pack folder: %w", err)
	}
	pack, err := FromFiles(files)
	if err != nil {
		return nil, fmt.Errorf("reading a pack folder: %w", err)
	}
	return pack, nil
}

// walkFolder reads the files of a folder, or tells all that have no place in it.
func walkFolder(fsys fs.FS, lim Limits) ([]File, error) {
	var files []File
	var problems problemList
	var total int64
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && name != "." && name != manifestFile
		switch {
		case hidden && d.IsDir():
			return fs.SkipDir
		case hidden || d.IsDir():
			return nil
		case !d.Type().IsRegular():
			problems.add(&Problem{File: printable(name), What: "is not a regular file", Kind: ErrNotRegular,
				Hint: "replace the link or device by the file it stands for"})
			return nil
		}
		if err := checkName(name); err != nil {
			problems.add(err)
			return nil
		}
		if len(files) >= lim.Entries {
			return &Problem{What: fmt.Sprintf("the folder has more than %d files", lim.Entries),
				Kind: ErrTooLarge, Hint: "split the pack"}
		}
		data, err := readBounded(fsys, name, lim.Expanded-total)
		if err != nil {
			return err
		}
		total += int64(len(data))
		files = append(files, File{Name: name, Data: data})
		return nil
	})
	if err == nil {
		err = problems.err()
	}
	return files, err
}

func readBounded(fsys fs.FS, name string, room int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, room+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > room {
		return nil, &Problem{File: name, What: "the folder holds more than an archive may expand to",
			Kind: ErrTooLarge, Hint: "split the pack"}
	}
	return data, nil
}

// checkText refuses bytes that editors, parsers and reviewers could see
// differently. Every file of a pack is text.
func checkText(f File) error {
	bad := func(at int, what, hint string) error {
		return &Problem{File: f.Name, Line: lineAt(f.Data, int64(at)), What: what, Kind: ErrMalformed, Hint: hint}
	}
	if bytes.HasPrefix(f.Data, []byte("\xef\xbb\xbf")) {
		return bad(0, "starts with a byte order mark", "save it as UTF-8 without one")
	}
	if at := bytes.IndexByte(f.Data, 0); at >= 0 {
		return bad(at, "holds a NUL byte", "packs hold text files only")
	}
	if !utf8.Valid(f.Data) {
		at := 0
		for at < len(f.Data) {
			r, n := utf8.DecodeRune(f.Data[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		return bad(at, "is not UTF-8", "save it as UTF-8")
	}
	return nil
}

// lineAt returns the line, from 1, of a byte offset.
func lineAt(data []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(data)))
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}
