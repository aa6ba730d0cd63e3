package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/precept-cds/precept/engine/keyring"
)

const (
	commitLabel = "precept/commit/v1\n"
	sealedHead  = 32 + 4  // r, length of the compressed body
	sealStep    = 64      // ciphertexts have a length that is a multiple of this
	maxPooled   = 1 << 20 // a buffer that grew beyond is not kept
)

// A sealer compresses bodies and reuses what that needs. It has one encoder and one decoder per processor, each
// of about 2 MB; more would only wait for a processor.
type sealer struct {
	encoders chan *zstd.Encoder // nil where none was made yet
	decoders chan *zstd.Decoder // likewise
	buffers  sync.Pool          // *bytes.Buffer
}

func newSealer() *sealer {
	n := runtime.GOMAXPROCS(0)
	s := &sealer{encoders: make(chan *zstd.Encoder, n), decoders: make(chan *zstd.Decoder, n)}
	for range n {
		s.encoders <- nil
		s.decoders <- nil
	}
	s.buffers.New = func() any { return new(bytes.Buffer) }
	return s
}

// commitment is the digest that goes into the leaf.
func commitment(r []byte, body ...[]byte) (d Digest) {
	h := sha256.New()
	io.WriteString(h, commitLabel) // writing to a hash cannot fail
	h.Write(r)
	for _, b := range body {
		h.Write(b)
	}
	h.Sum(d[:0])
	return d
}

// pack writes what is to be sealed into buf: r, the compressed body, padding; and leaves room for the tag.
func (s *sealer) pack(buf *bytes.Buffer, r []byte, body [][]byte) error {
	buf.Reset()
	buf.Write(r)
	buf.Write([]byte{0, 0, 0, 0})
	if err := s.compress(buf, body); err != nil {
		return fmt.Errorf("compressing body: %w", err)
	}
	binary.BigEndian.PutUint32(buf.Bytes()[32:], uint32(buf.Len()-sealedHead))
	for (buf.Len()+keyring.Overhead)%sealStep != 0 {
		buf.WriteByte(0)
	}
	buf.Grow(keyring.Overhead)
	return nil
}

func (s *sealer) compress(buf *bytes.Buffer, body [][]byte) (err error) {
	e := <-s.encoders
	defer func() { s.encoders <- e }()
	if e == nil {
		// The fastest level: FHIR JSON gets no smaller with the default one (compare TestCompressedSize), whose
		// tables of more than 1 MB drive everybody else out of the processor's cache and cost twice the time.
		e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			return err
		}
	}
	e.Reset(buf)
	for _, b := range body {
		if _, err := e.Write(b); err != nil {
			return err
		}
	}
	return e.Close()
}

// unpack reverses pack and checks the commitment. The opening is r.
func (s *sealer) unpack(plain []byte, want Digest) (opening, body []byte, _ error) {
	if len(plain) < sealedHead || (len(plain)+keyring.Overhead)%sealStep != 0 {
		return nil, nil, fmt.Errorf("%w: sealed body has a wrong length", ErrCorrupt)
	}
	n := binary.BigEndian.Uint32(plain[32:])
	rest := plain[sealedHead:]
	if int64(n) > int64(len(rest)) || len(rest)-int(n) >= sealStep || len(bytes.Trim(rest[n:], "\x00")) > 0 {
		return nil, nil, fmt.Errorf("%w: sealed body has a wrong length", ErrCorrupt)
	}
	body, err := s.decompress(rest[:n])
	if err != nil {
		return nil, nil, err
	}
	if commitment(plain[:32], body) != want {
		return nil, nil, fmt.Errorf("%w: body is not the one that was committed to", ErrCorrupt)
	}
	return plain[:32], body, nil
}

func (s *sealer) decompress(frame []byte) (body []byte, err error) {
	d := <-s.decoders
	defer func() { s.decoders <- d }()
	if d == nil {
		d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxBody),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("decompressing body: %w", err)
		}
	}
	if body, err = d.DecodeAll(frame, nil); err != nil {
		return nil, fmt.Errorf("decompressing body: %w: %w", ErrCorrupt, err)
	}
	return body, nil
}
