package sim

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// Shapes are placed on 480 by 640 points; the picture has fewer pixels.
const (
	photoWidth  = 480
	photoHeight = 640
	pixels      = 0.75 // a point
)

// canvas is a picture that is painted with simple shapes and some grain.
type canvas struct {
	*image.RGBA
	r *rand.Rand
}

// shape is an area and the box around it.
type shape struct {
	x0, y0, x1, y1 float64
	inside         func(x, y float64) bool // nil: the whole box
}

func (c canvas) fill(s shape, of color.RGBA) {
	grain := c.r.Uint32()
	for y := max(0, int(s.y0*pixels)); y <= min(c.Rect.Dy()-1, int(s.y1*pixels)); y++ {
		for x := max(0, int(s.x0*pixels)); x <= min(c.Rect.Dx()-1, int(s.x1*pixels)); x++ {
			if s.inside != nil && !s.inside(float64(x)/pixels, float64(y)/pixels) {
				continue
			}
			grain = grain*1664525 + 1013904223
			g := int(grain>>28) - 7
			p := c.Pix[c.PixOffset(x, y):]
			p[0], p[1], p[2], p[3] = shade(of.R, g), shade(of.G, g), shade(of.B, g), 255
		}
	}
}

func shade(v uint8, by int) uint8 {
	return uint8(max(0, min(255, int(v)+by))) // #nosec G115 -- clamped
}

func box(x0, y0, x1, y1 float64) shape { return shape{x0, y0, x1, y1, nil} }

func disc(cx, cy, rx, ry float64) shape {
	return shape{cx - rx, cy - ry, cx + rx, cy + ry, func(x, y float64) bool {
		return (x-cx)*(x-cx)/(rx*rx)+(y-cy)*(y-cy)/(ry*ry) < 1
	}}
}

// bar is a thick line.
func bar(x0, y0, x1, y1, thick float64) shape {
	dx, dy := x1-x0, y1-y0
	length := math.Hypot(dx, dy)
	return shape{min(x0, x1) - thick, min(y0, y1) - thick, max(x0, x1) + thick, max(y0, y1) + thick, func(x, y float64) bool {
		t := ((x-x0)*dx + (y-y0)*dy) / (length * length)
		return t >= 0 && t <= 1 && math.Abs((x-x0)*dy-(y-y0)*dx)/length < thick/2
	}}
}

func (c canvas) jpeg() []byte {
	var b bytes.Buffer
	_ = jpeg.Encode(&b, c, &jpeg.Options{Quality: 62}) // a buffer takes everything
	return b.Bytes()
}

func newCanvas(r *rand.Rand) canvas {
	return canvas{image.NewRGBA(image.Rect(0, 0, photoWidth*pixels, photoHeight*pixels)), r}
}

// Photo paints a handpump on its apron, as JPEG: without water when it does not work.
func Photo(r *rand.Rand, status string) []byte {
	c := newCanvas(r)
	horizon := 210 + 70*r.Float64()
	light := uint8(r.IntN(40)) // #nosec G115 -- below 40
	c.fill(box(0, 0, photoWidth, photoHeight), color.RGBA{150 + light, 190 + light, 225, 255})
	c.fill(box(0, horizon, photoWidth, photoHeight), color.RGBA{165 + light, 120 + light, 80, 255})
	for range 3 + r.IntN(4) { // trees
		x, size := r.Float64()*photoWidth, 25+50*r.Float64()
		c.fill(box(x-4, horizon-size, x+4, horizon+6), color.RGBA{95, 70, 50, 255})
		c.fill(disc(x, horizon-size, size*0.8, size*0.6), color.RGBA{70, 115 + light, 55, 255})
	}
	x := 200 + 80*r.Float64()
	c.fill(disc(x, 520, 175, 62), color.RGBA{190, 186, 178, 255})
	c.fill(disc(x, 520, 160, 52), color.RGBA{172, 168, 160, 255})
	paint := pick(r, color.RGBA{40, 80, 150, 255}, color.RGBA{60, 120, 90, 255}, color.RGBA{110, 110, 115, 255})
	c.fill(bar(x, 330, x, 520, 34), paint)
	c.fill(bar(x, 372, x+95, 400, 16), paint) // spout
	c.fill(disc(x, 325, 36, 24), paint)
	lift := 60 - 90*r.Float64()
	c.fill(bar(x, 322, x-165, 322+lift, 12), color.RGBA{120, 75, 50, 255})
	if status != NotFunctional {
		c.fill(bar(x+93, 405, x+97, 500, 7), color.RGBA{205, 225, 240, 255})
		c.fill(disc(x+96, 520, 36, 13), color.RGBA{150, 180, 205, 255})
	}
	if r.Float64() < 0.6 {
		c.fill(box(x+70, 490, x+122, 548), pick(r, color.RGBA{215, 190, 40, 255}, color.RGBA{190, 50, 45, 255}, color.RGBA{60, 105, 175, 255}))
	}
	return c.jpeg()
}

// plate paints a plate with colonies, as a water test is photographed.
func plate(r *rand.Rand) []byte {
	c := newCanvas(r)
	c.fill(box(0, 0, photoWidth, photoHeight), color.RGBA{120, 100, 80, 255})
	c.fill(disc(240, 320, 200, 200), color.RGBA{235, 225, 215, 255})
	c.fill(disc(240, 320, 185, 185), color.RGBA{225, 190, 190, 255})
	for range r.IntN(30) {
		angle, reach := r.Float64()*2*math.Pi, 170*math.Sqrt(r.Float64())
		c.fill(disc(240+reach*math.Cos(angle), 320+reach*math.Sin(angle), 5, 5), pick(r, color.RGBA{40, 60, 140, 255}, color.RGBA{170, 60, 80, 255}))
	}
	return c.jpeg()
}
