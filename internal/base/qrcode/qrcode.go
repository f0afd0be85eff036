// Package qrcode draws QR codes as SVG, to be shown in a page or printed.
//
// It guarantees a picture without scripts, styles or references, with the white
// border of four modules that the standard (ISO/IEC 18004) asks for, and error
// correction of level M. Limits: what fits into a code of version 40, some 2,300
// bytes. Who controls this package sees the secrets that are drawn.
package qrcode

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// SVG is a text as a picture.
func SVG(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("QR code: %w", err)
	}
	const quiet = 4 // modules of white around
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			if !code.Black(x, y) {
				continue
			}
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
		}
	}
	size := code.Size + 2*quiet
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		size, size, size, size, path.String()), nil
}
