package response

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// A JPEG is a row of segments (ISO/IEC 10918-1, annex B): FF, a marker, a length, a payload; then compressed data up to the marker
// EOI. Positions hide in more places than the GPS directory of Exif: maker notes, XMP, IPTC, a second picture or a film after EOI. So
// what is known to be harmless is let through, rather than what is known to be a position taken out:
//   - APP0 (JFIF), APP2 with a colour profile and APP14 (Adobe colours) pass; all other APPn and comments go;
//   - of Exif, a new APP1 is written with make, model, orientation and times only;
//   - nothing after EOI passes.
const (
	soi, eoi, sos = 0xD8, 0xD9, 0xDA
	app0, app15   = 0xE0, 0xEF
	com           = 0xFE
)

var errNotJPEG = errors.New("not a JPEG as it should be")

// scrub copies a picture without its position. Where the segments do not hold together the rest is copied as it is, so that nothing
// that was sent is lost, and searched is false.
func scrub(w io.Writer, in io.Reader) (searched bool, err error) {
	out := bufio.NewWriterSize(w, 32<<10)
	r := bufio.NewReaderSize(in, 32<<10)
	err = scrubSegments(out, r)
	if errors.Is(err, errNotJPEG) {
		_, err = io.Copy(out, r)
		return false, errors.Join(err, out.Flush())
	}
	if err == nil { // drop what follows, but read it: the sender waits for that
		_, err = io.Copy(io.Discard, r)
	}
	return true, errors.Join(err, out.Flush())
}

func scrubSegments(out *bufio.Writer, r *bufio.Reader) error {
	start, err := r.Peek(2)
	if err != nil || start[0] != 0xFF || start[1] != soi {
		return bad(err)
	}
	copyBytes(out, r, 2)
	exif := false
	for {
		head, err := r.Peek(2)
		if err != nil || head[0] != 0xFF {
			return bad(err)
		}
		marker := head[1]
		switch {
		case marker == 0xFF: // a fill byte
			copyBytes(out, r, 1)
			continue
		case marker == eoi:
			copyBytes(out, r, 2)
			return nil
		case marker == 0x00, marker == soi:
			return errNotJPEG
		case marker == 0x01, marker >= 0xD0 && marker <= 0xD7: // no length follows
			copyBytes(out, r, 2)
			continue
		}
		head, err = r.Peek(4)
		if err != nil {
			return bad(err)
		}
		length := int64(binary.BigEndian.Uint16(head[2:]))
		if length < 2 {
			return errNotJPEG
		}
		if marker >= app0 && marker <= app15 || marker == com {
			segment := make([]byte, 2+length)
			n, err := io.ReadFull(r, segment)
			if err != nil {
				out.Write(segment[:n])
				return bad(err)
			}
			payload := segment[4:]
			switch {
			case marker == app0, marker == 0xEE && bytes.HasPrefix(payload, []byte("Adobe")), marker == 0xE2 && bytes.HasPrefix(payload, []byte("ICC_PROFILE\x00")):
				out.Write(segment)
			case marker == 0xE1 && bytes.HasPrefix(payload, []byte("Exif\x00")) && !exif:
				exif = true
				out.Write(harmlessExif(payload))
			}
			continue
		}
		if err := copyBytes(out, r, 2+length); err != nil {
			return bad(err)
		}
		if marker == sos {
			if err := copyScan(out, r); err != nil {
				return bad(err)
			}
		}
	}
}

// copyScan copies compressed data up to the next marker that is neither a stuffed FF nor a restart.
func copyScan(out *bufio.Writer, r *bufio.Reader) error {
	for {
		if _, err := r.Peek(1); err != nil {
			return err
		}
		data, _ := r.Peek(r.Buffered())
		if i := bytes.IndexByte(data, 0xFF); i >= 0 {
			data = data[:i]
		}
		if err := take(out, r, data); err != nil {
			return err
		}
		if len(data) > 0 {
			continue
		}
		next, err := r.Peek(2)
		if err != nil {
			return err
		}
		if next[1] != 0 && next[1] != 0xFF && (next[1] < 0xD0 || next[1] > 0xD7) {
			return nil
		}
		if err := take(out, r, next[:1]); err != nil {
			return err
		}
	}
}

// take moves bytes that were peeked at.
func take(out io.Writer, r *bufio.Reader, peeked []byte) error {
	if _, err := out.Write(peeked); err != nil {
		return err
	}
	_, err := r.Discard(len(peeked))
	return err
}

func copyBytes(out io.Writer, r io.Reader, n int64) error {
	_, err := io.CopyN(out, r, n)
	return err
}

// bad tells a picture that ends too early, which is no error of the transfer, from a transfer that failed.
func bad(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, bufio.ErrBufferFull) {
		return errNotJPEG
	}
	return err
}
