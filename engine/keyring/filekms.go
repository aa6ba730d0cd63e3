package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// maxKeyFile bounds the region key file: a keyset of a few hundred retired keys stays far below.
const maxKeyFile = 1 << 16

// FileKMS is a region key in a file: a Tink AES-256-GCM keyset in Tink's JSON form, readable by its owner only.
// It is for a single machine whose disk is trusted as far as its memory. Whoever reads the file reads the
// region.
type FileKMS struct {
	aead tink.AEAD
	id   string
}

var _ KMS = (*FileKMS)(nil)

// CreateFileKMS makes a new region key at path (mode 0600), synced together with its directory. It refuses to
// replace a file that exists: overwriting a region key would destroy every record of the region.
func CreateFileKMS(path string) (*FileKMS, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making region key: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return nil, fmt.Errorf("encoding region key: %w", err)
	}
	if err := writeNew(path, buf.Bytes()); err != nil {
		return nil, fmt.Errorf("writing region key: %w", err)
	}
	return newFileKMS(handle)
}

// writeNew stores data at path, which must not exist, and makes file and directory entry durable.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w (it is never replaced; use it, or choose another path)", err)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// OpenFileKMS reads a region key. It refuses a file that others may read or write, and anything but a plain file.
func OpenFileKMS(path string) (*FileKMS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening region key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening region key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening region key %s: not a plain file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("opening region key %s: mode %04o lets others at it (run: chmod 600 %s)", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading region key: %w", err)
	}
	k, err := parseFileKMS(data)
	if err != nil {
		return nil, fmt.Errorf("reading region key %s: %w", path, err)
	}
	return k, nil
}

// parseFileKMS reads a cleartext keyset. Errors never quote it.
func parseFileKMS(data []byte) (*FileKMS, error) {
	if len(data) > maxKeyFile {
		return nil, errors.New("file too large for a key set")
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, errors.New("not a Tink key set in JSON form")
	}
	return newFileKMS(handle)
}

func newFileKMS(handle *keyset.Handle) (*FileKMS, error) {
	primary, err := handle.Primary()
	if err != nil {
		return nil, fmt.Errorf("choosing the current region key: %w", err)
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("using key set as region key: %w", err)
	}
	return &FileKMS{aead: a, id: strconv.FormatUint(uint64(primary.KeyID()), 10)}, nil
}

// Wrap implements [KMS].
func (k *FileKMS) Wrap(ctx context.Context, key, aad []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return k.aead.Encrypt(key, aad)
}

// Unwrap implements [KMS].
func (k *FileKMS) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := k.aead.Decrypt(wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("%w: not wrapped by this region key, or moved", ErrOpen)
	}
	return key, nil
}

// Describe implements [KMS].
func (k *FileKMS) Describe(context.Context) (Description, error) {
	return Description{Provider: "file", Key: k.id}, nil
}
