package qrcode_test

import (
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/qanat-water/qanat/internal/base/qrcode"
)

func TestSVGHasEveryModule(t *testing.T) {
	const text = "https://water.example.org/v1/key/abc"
	svg, err := qrcode.SVG(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) && !code.Black(x-1, y) {
				runs++
			}
		}
	}
	if drawn := strings.Count(svg, "v1h-"); drawn != runs {
		t.Errorf("%d runs of black modules are drawn, the code has %d", drawn, runs)
	}
	if _, err := qrcode.SVG(strings.Repeat("x", 4000)); err == nil {
		t.Error("a text that fits no code was drawn")
	}
}
