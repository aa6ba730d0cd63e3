package rulepacks

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/precept-cds/precept/rulepacks/packfile"
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
func walkFolder(fsys fs.FS, lim Limits) ([]packfile.File, error) {
	var files []packfile.File
	var problems packfile.List
	size := sizes{lim: lim}
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
			problems.Add(&packfile.Problem{File: packfile.Short(name), What: "is not a regular file", Kind: ErrNotRegular,
				Hint: "replace the link or device by the file it stands for"})
			return nil
		}
		if err := checkName(name); err != nil {
			problems.Add(err)
			return nil
		}
		if len(files) >= lim.Entries {
			return &packfile.Problem{What: fmt.Sprintf("the folder has more than %d files", lim.Entries),
				Kind: packfile.ErrTooLarge, Hint: "split the pack"}
		}
		data, err := readBounded(fsys, name, size.room(name))
		if err != nil {
			return err
		}
		if err := size.add(name, int64(len(data))); err != nil {
			return err
		}
		files = append(files, packfile.File{Name: name, Data: data})
		return nil
	})
	if err == nil {
		err = problems.Err()
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
		return nil, &packfile.Problem{File: name, What: "the folder holds more than an archive may expand to",
			Kind: packfile.ErrTooLarge, Hint: "split the pack"}
	}
	return data, nil
}
