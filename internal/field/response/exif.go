package response

import (
	"encoding/binary"
)

// The tags of Exif that stay (Exif 2.32): they say what took the picture, when, and which way up it is.
var (
	keepImage = map[uint16]bool{0x010F: true, 0x0110: true, 0x0112: true, 0x0132: true}                             // make, model, orientation, time changed
	keepPhoto = map[uint16]bool{0x9003: true, 0x9004: true, 0x9010: true, 0x9011: true, 0x9012: true, 0x9291: true} // times taken and digitized, their zones, fraction
)

const (
	tagPhoto   = 0x8769 // where the directory of the photo's own tags is
	typeASCII  = 2
	typeShort  = 3
	maxASCII   = 64
	maxEntries = 1000
)

type exifEntry struct {
	tag, kind uint16
	value     []byte // as in the file, already in its byte order
}

// harmlessExif makes an APP1 segment of the tags that stay; nil when there are none or they cannot be read.
func harmlessExif(payload []byte) []byte {
	if len(payload) < 14 {
		return nil
	}
	tiff := payload[6:]
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return nil
	}
	image, photoAt := directory(tiff, order, order.Uint32(tiff[4:]), keepImage)
	var photo []exifEntry
	if photoAt != 0 {
		photo, _ = directory(tiff, order, photoAt, keepPhoto)
	}
	if len(image)+len(photo) == 0 {
		return nil
	}
	return exifSegment(order, string(tiff[:4]), image, photo)
}

// directory reads the entries of an image file directory that are to be kept.
func directory(tiff []byte, order binary.ByteOrder, at uint32, keep map[uint16]bool) (kept []exifEntry, photoAt uint32) {
	if uint64(at)+2 > uint64(len(tiff)) {
		return nil, 0
	}
	count := int(order.Uint16(tiff[at:]))
	seen := map[uint16]bool{}
	for i := 0; i < count && i < maxEntries; i++ {
		from := uint64(at) + 2 + uint64(i)*12 // #nosec G115 -- i is not negative
		if from+12 > uint64(len(tiff)) {
			break
		}
		e := tiff[from : from+12]
		tag, kind, n := order.Uint16(e), order.Uint16(e[2:]), order.Uint32(e[4:])
		if tag == tagPhoto && n == 1 {
			photoAt = order.Uint32(e[8:])
		}
		if !keep[tag] || seen[tag] {
			continue
		}
		switch {
		case kind == typeShort && n == 1 && tag == 0x0112:
			if order.Uint16(e[8:]) > 8 {
				continue
			}
			kept = append(kept, exifEntry{tag, kind, append([]byte(nil), e[8:10]...)})
		case kind == typeASCII && n > 0 && n <= maxASCII && tag != 0x0112:
			value := e[8:12]
			if n > 4 {
				offset := uint64(order.Uint32(e[8:]))
				if offset+uint64(n) > uint64(len(tiff)) {
					continue
				}
				value = tiff[offset:]
			}
			kept = append(kept, exifEntry{tag, kind, append([]byte(nil), value[:n]...)})
		default:
			continue
		}
		seen[tag] = true
	}
	return kept, photoAt
}

func exifSegment(order binary.ByteOrder, magic string, image, photo []exifEntry) []byte {
	entries := len(image)
	if len(photo) > 0 {
		entries++
	}
	photoAt := uint32(8 + 2 + 12*entries + 4) // #nosec G115 -- a few entries of at most 64 bytes; so below
	size := int(photoAt)
	if len(photo) > 0 {
		size += 2 + 12*len(photo) + 4
	}
	tiff := make([]byte, size)
	copy(tiff, magic)
	order.PutUint32(tiff[4:], 8)
	put := func(at int, list []exifEntry) int {
		for _, e := range list {
			order.PutUint16(tiff[at:], e.tag)
			order.PutUint16(tiff[at+2:], e.kind)
			n := len(e.value)
			if e.kind == typeShort {
				n = 1
			}
			order.PutUint32(tiff[at+4:], uint32(n)) // #nosec G115
			if len(e.value) <= 4 {
				copy(tiff[at+8:], e.value)
			} else {
				order.PutUint32(tiff[at+8:], uint32(len(tiff))) // #nosec G115
				tiff = append(tiff, e.value...)
			}
			at += 12
		}
		return at
	}
	order.PutUint16(tiff[8:], uint16(entries)) // #nosec G115
	at := put(10, image)
	if len(photo) > 0 {
		order.PutUint16(tiff[at:], tagPhoto)
		order.PutUint16(tiff[at+2:], 4)
		order.PutUint32(tiff[at+4:], 1)
		order.PutUint32(tiff[at+8:], photoAt)
		order.PutUint16(tiff[photoAt:], uint16(len(photo))) // #nosec G115
		put(int(photoAt)+2, photo)
	}
	segment := []byte{0xFF, 0xE1, 0, 0, 'E', 'x', 'i', 'f', 0, 0}
	segment = append(segment, tiff...)
	binary.BigEndian.PutUint16(segment[2:], uint16(len(segment)-2)) // #nosec G115
	return segment
}
