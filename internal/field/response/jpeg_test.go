package response

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// picture is a small real JPEG.
func picture(t testing.TB) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for x := range 32 {
		for y := range 32 {
			img.Set(x, y, color.RGBA{uint8(x * 8), uint8(y * 8), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func segment(marker byte, payload []byte) []byte {
	s := []byte{0xFF, marker, 0, 0}
	binary.BigEndian.PutUint16(s[2:], uint16(len(payload)+2))
	return append(s, payload...)
}

// exif makes what a phone writes: make, orientation, a GPS directory, and a photo directory with a time and a maker note.
func exif(order binary.AppendByteOrder) []byte {
	var b []byte
	entry := func(tag, kind uint16, n uint32, value uint32) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, kind)
		b = order.AppendUint32(b, n)
		b = order.AppendUint32(b, value)
	}
	if order.String() == "LittleEndian" {
		b = append(b, "II*\x00"...)
	} else {
		b = append(b, "MM\x00*"...)
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 4)
	entry(0x010F, 2, 8, 200) // make
	b = order.AppendUint16(order.AppendUint16(b, 0x0112), 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(order.AppendUint16(b, 6), 0) // orientation: turned by 90 degrees
	entry(0x8769, 4, 1, 100)                            // photo directory
	entry(0x8825, 4, 1, 150)                            // GPS directory
	b = order.AppendUint32(b, 0)
	b = append(b, make([]byte, 100-len(b))...)
	b = order.AppendUint16(b, 2)
	entry(0x9003, 2, 20, 210) // taken at
	entry(0x927C, 7, 16, 230) // maker note
	b = order.AppendUint32(b, 0)
	b = append(b, make([]byte, 150-len(b))...)
	b = order.AppendUint16(b, 1)
	entry(0x0012, 2, 7, 250) // GPS map datum
	b = order.AppendUint32(b, 0)
	b = append(b, make([]byte, 200-len(b))...)
	b = append(b, "Pixelx\x00\x00"...)
	b = append(b, make([]byte, 210-len(b))...)
	b = append(b, "2026:03:01 08:00:00\x00"...)
	b = append(b, "MAKERNOTE-SECRET"...)
	b = append(b, make([]byte, 250-len(b))...)
	return append([]byte("Exif\x00\x00"), append(b, "WGSPOS\x00"...)...)
}

func withMetadata(t testing.TB, order binary.AppendByteOrder) []byte {
	plain := picture(t)
	out := append([]byte{}, plain[:2]...)
	out = append(out, segment(0xE0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"))...)
	out = append(out, segment(0xE1, exif(order))...)
	out = append(out, segment(0xE1, []byte("http://ns.adobe.com/xap/1.0/\x00<exif:GPSLatitude>XMP-SECRET"))...)
	out = append(out, segment(0xED, []byte("Photoshop 3.0\x00IPTC-SECRET"))...)
	out = append(out, segment(0xE2, []byte("ICC_PROFILE\x00\x01\x01colours"))...)
	out = append(out, segment(0xE2, []byte("MPF\x00MPF-SECRET"))...)
	out = append(out, segment(0xFE, []byte("COMMENT-SECRET"))...)
	out = append(out, plain[2:]...)
	return append(out, []byte("\xFF\xD8 second picture TRAILER-SECRET")...)
}

func TestScrub(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		t.Run(order.String(), func(t *testing.T) {
			in := withMetadata(t, order)
			var out bytes.Buffer
			searched, err := scrub(&out, iotest.OneByteReader(bytes.NewReader(in)))
			if err != nil || !searched {
				t.Fatal(searched, err)
			}
			if i := bytes.Index(out.Bytes(), []byte("SECRET")); i >= 0 {
				t.Errorf("left in: %q", out.Bytes()[max(0, i-20):i])
			}
			for _, gone := range []string{"WGSPOS", "GPS"} {
				if bytes.Contains(out.Bytes(), []byte(gone)) {
					t.Errorf("%s is left in", gone)
				}
			}
			for _, kept := range []string{"JFIF", "Pixelx", "2026:03:01 08:00:00", "ICC_PROFILE"} {
				if !bytes.Contains(out.Bytes(), []byte(kept)) {
					t.Errorf("%s is gone", kept)
				}
			}
			a, err := jpeg.Decode(bytes.NewReader(picture(t)))
			if err != nil {
				t.Fatal(err)
			}
			b, err := jpeg.Decode(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.(*image.YCbCr).Y, b.(*image.YCbCr).Y) {
				t.Error("the picture itself has changed")
			}
			// What stays can be read again and is the same.
			var again bytes.Buffer
			if searched, err := scrub(&again, bytes.NewReader(out.Bytes())); err != nil || !searched || !bytes.Equal(again.Bytes(), out.Bytes()) {
				t.Errorf("a second time: %v %v, %d bytes of %d", searched, err, again.Len(), out.Len())
			}
			at := bytes.Index(out.Bytes(), []byte("Exif\x00\x00"))
			image, photoAt := directory(out.Bytes()[at+6:], order.(binary.ByteOrder), 8, keepImage)
			if len(image) != 2 || order.(binary.ByteOrder).Uint16(image[1].value) != 6 || photoAt == 0 {
				t.Errorf("orientation: %+v %d", image, photoAt)
			}
		})
	}
}

func TestScrubKeepsWhatIsNoJPEG(t *testing.T) {
	plain := picture(t)
	for name, in := range map[string][]byte{
		"empty": {}, "text": []byte("hello"), "only the start": {0xFF, 0xD8}, "no marker": []byte("\xFF\xD8hello"),
		"cut off in the picture": plain[:len(plain)-20], "length of 1": {0xFF, 0xD8, 0xFF, 0xDB, 0, 1, 9, 9},
	} {
		var out bytes.Buffer
		if searched, err := scrub(&out, bytes.NewReader(in)); err != nil || searched || !bytes.Equal(out.Bytes(), in) {
			t.Errorf("%s: searched %v, %v, %q became %q", name, searched, err, in, out.Bytes())
		}
	}
}

func TestScrubPassesErrorsOn(t *testing.T) {
	_, err := scrub(io.Discard, iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(picture(t)))))
	if err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v", err)
	}
}

func FuzzScrub(f *testing.F) {
	f.Add(withMetadata(f, binary.LittleEndian))
	f.Add(withMetadata(f, binary.BigEndian))
	f.Add([]byte{0xFF, 0xD8, 0xFF, 0xE1, 0, 20})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		searched, err := scrub(&out, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if out.Len() > len(data)+8 {
			t.Fatalf("%d bytes became %d", len(data), out.Len())
		}
		if !searched {
			return
		}
		var again bytes.Buffer
		if searched, err := scrub(&again, bytes.NewReader(out.Bytes())); err != nil || searched && !bytes.Equal(again.Bytes(), out.Bytes()) {
			t.Fatalf("not stable: %v, %x became %x", err, out.Bytes(), again.Bytes())
		}
	})
}
