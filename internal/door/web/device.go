package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/base/qrcode"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
)

// DeviceView is a device with what it does now; as of a moment, without that.
type DeviceView struct {
	ledger.Doc[device.Device]
	Latest    []reading.Latest `json:"latest" doc:"empty as of a moment"`
	LastSeen  *time.Time       `json:"last_seen,omitempty" doc:"absent: never, or as of a moment"`
	Connected bool             `json:"connected" doc:"has a live session at this server process; false as of a moment"`
	SiteName  string           `json:"site_name,omitempty" doc:"of today"`
}

type deviceQuery struct {
	InOrg
	AsOf
	Site  string `query:"site" maxLength:"40"`
	State string `query:"state" maxLength:"20"`
	After string `query:"cursor" maxLength:"300" doc:"cursor of the last page"`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

func (s *server) devices(ctx context.Context, actor ledger.Actor, in *deviceQuery) (*Body[Page[DeviceView]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	docs, err := s.Devices.List(ctx, actor, device.Filter{Org: in.Org, Site: in.Site, State: device.State(in.State), After: in.After, Limit: in.Limit, At: at})
	if err != nil {
		return nil, err
	}
	out, err := list(s.deviceViews(ctx, actor, docs, at))
	if err != nil {
		return nil, err
	}
	if len(docs) == in.Limit {
		out.Body.Next = docs[len(docs)-1].ID
	}
	return out, err
}

func (s *server) deviceViews(ctx context.Context, actor ledger.Actor, docs []ledger.Doc[device.Device], at time.Time) ([]DeviceView, error) {
	views := make([]DeviceView, len(docs))
	for i, doc := range docs {
		var err error
		if views[i], err = s.deviceViewAt(ctx, actor, doc, at); err != nil {
			return nil, err
		}
	}
	return views, nil
}

// deviceViewAt is deviceView, or a device of the past, which does nothing now.
func (s *server) deviceViewAt(ctx context.Context, actor ledger.Actor, doc ledger.Doc[device.Device], at time.Time) (v DeviceView, err error) {
	if at.IsZero() {
		return s.deviceView(ctx, actor, doc)
	}
	if doc.Body.Claim != nil {
		doc.Body.Claim.Hash = ""
	}
	v = DeviceView{Doc: doc, Latest: []reading.Latest{}}
	v.SiteName, err = s.siteName(ctx, actor, doc.Body.Site)
	return v, err
}

func (s *server) deviceView(ctx context.Context, actor ledger.Actor, doc ledger.Doc[device.Device]) (DeviceView, error) {
	if doc.Body.Claim != nil {
		doc.Body.Claim.Hash = ""
	}
	v := DeviceView{Doc: doc, Latest: []reading.Latest{}, Connected: s.Connected != nil && s.Connected(doc.ID)}
	latest, err := s.Devices.Latest(ctx, actor, doc.ID)
	if err != nil {
		return v, err
	}
	for _, one := range latest {
		if named := channelOf(doc.Body, one.Channel); named.Unit != "" {
			one.Unit = named.Unit // what people say goes before what the device said
		}
		v.Latest = append(v.Latest, one)
	}
	seen, err := s.Devices.LastSeen(ctx, actor, doc.ID)
	if err != nil {
		return v, err
	}
	if !seen.IsZero() {
		v.LastSeen = &seen
	}
	v.SiteName, err = s.siteName(ctx, actor, doc.Body.Site)
	return v, err
}

type taggedDevice struct {
	ETag string `header:"ETag"`
	Body DeviceView
}

func (s *server) device(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*taggedDevice, error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		doc, err := s.Devices.GetAt(ctx, actor, in.ID, at)
		if err != nil {
			return nil, err
		}
		view, err := s.deviceViewAt(ctx, actor, doc, at)
		return &taggedDevice{ETag: etag(doc.Revision), Body: view}, err
	}
	return s.deviceAnswer(ctx, actor)(s.Devices.Get(ctx, actor, in.ID))
}

func (s *server) deviceAnswer(ctx context.Context, actor ledger.Actor) func(ledger.Doc[device.Device], error) (*taggedDevice, error) {
	return func(doc ledger.Doc[device.Device], err error) (*taggedDevice, error) {
		if err != nil {
			return nil, err
		}
		view, err := s.deviceView(ctx, actor, doc)
		return &taggedDevice{ETag: etag(doc.Revision), Body: view}, err
	}
}

type registerRequest struct {
	Body struct {
		Org    string     `json:"org" format:"uuid"`
		Body   device.New `json:"body"`
		Reason string     `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) deviceRegister(ctx context.Context, actor ledger.Actor, in *registerRequest) (*taggedDevice, error) {
	return s.deviceAnswer(ctx, actor)(s.Devices.Register(ctx, actor, in.Body.Org, in.Body.Body, in.Body.Reason))
}

type deviceChange struct {
	ByID
	IfMatch
	Body struct {
		device.Change
		Reason string `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) deviceUpdate(ctx context.Context, actor ledger.Actor, in *deviceChange) (*taggedDevice, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return s.deviceAnswer(ctx, actor)(s.Devices.Update(ctx, actor, in.ID, revision, in.Body.Change, in.Body.Reason))
}

type reasoned struct {
	ByID
	Body Reason
}

// ClaimCode is shown once.
type ClaimCode struct {
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
	Payload string    `json:"payload" doc:"what the QR code says"`
	QR      string    `json:"qr" doc:"SVG"`
}

func (s *server) deviceCode(ctx context.Context, actor ledger.Actor, in *reasoned) (*Body[ClaimCode], error) {
	code, err := s.Devices.ClaimCode(ctx, actor, in.ID, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	picture, err := qrcode.SVG(code.Payload)
	return body(ClaimCode{Code: code.Code, Expires: code.Expires, Payload: code.Payload, QR: picture}, err)
}

func (s *server) deviceRevoke(ctx context.Context, actor ledger.Actor, in *reasoned) (*taggedDevice, error) {
	return s.deviceAnswer(ctx, actor)(s.Devices.Revoke(ctx, actor, in.ID, in.Body.Reason))
}

type claimRequest struct {
	Body struct {
		Serial string `json:"serial" maxLength:"200"`
		Code   string `json:"code" maxLength:"40"`
		CSR    string `json:"csr" maxLength:"16384" doc:"certificate request, PEM; its key never leaves the device"`
	}
}

// Claimed is what a device gets for its code.
type Claimed struct {
	device.Issued
	MQTT string `json:"mqtt" doc:"host:port of the device door"`
}

// claim is for devices: the code is their only credential.
func (s *server) claim(ctx context.Context, in *claimRequest) (*Body[Claimed], error) {
	from := visitOf(ctx).From
	if ok, wait := s.claims.Allow(netaddr.Prefix(from)); !ok {
		return nil, fault.New(fault.TooMany, "claim.rate", "Too many claims from your address").After(wait).WithMend("Wait " + retryAfter(wait) + " seconds")
	}
	issued, err := s.Devices.Claim(ctx, from, in.Body.Serial, in.Body.Code, []byte(in.Body.CSR))
	return body(Claimed{Issued: issued, MQTT: s.MQTT}, err)
}

type readingsQuery struct {
	ByID
	Channel []string  `query:"channel,explode" maxItems:"64"`
	From    time.Time `query:"from" doc:"default: a day before to"`
	To      time.Time `query:"to" doc:"default: now"`
	Limit   int       `query:"limit" minimum:"2" maximum:"20000" default:"1000" doc:"points for each channel; more are thinned, lows and highs kept"`
}

// Readings are series of values.
type Readings struct {
	Series []NamedSeries `json:"series"`
}

// NamedSeries is a series with the name that people gave its channel.
type NamedSeries struct {
	reading.Series
	Name string `json:"name"`
}

func (s *server) deviceReadings(ctx context.Context, actor ledger.Actor, in *readingsQuery) (*Body[Readings], error) {
	if in.To.IsZero() {
		in.To = s.Ledger.Now().Add(time.Minute)
	}
	if in.From.IsZero() {
		in.From = in.To.Add(-24 * time.Hour)
	}
	doc, err := s.Devices.Get(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	series, err := s.Devices.Range(ctx, actor, in.ID, reading.Span{Device: in.ID, Channels: in.Channel, From: in.From, To: in.To, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := Readings{Series: make([]NamedSeries, len(series))}
	for i, one := range series {
		named := channelOf(doc.Body, one.Channel)
		if named.Unit != "" {
			one.Unit = named.Unit
		}
		out.Series[i] = NamedSeries{Series: one, Name: named.Name}
	}
	return body(out, nil)
}

// channelOf is what people call a channel; its key, when they have not said.
func channelOf(d device.Device, key string) device.Channel {
	for _, c := range d.Channels {
		if c.Key == key {
			return c
		}
	}
	return device.Channel{Key: key, Name: key}
}

func (s *server) deviceMessages(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[refusal.Message]], error) {
	return list(s.Devices.Messages(ctx, actor, in.ID))
}

type refusalsQuery struct {
	InOrg
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

func (s *server) refusals(ctx context.Context, actor ledger.Actor, in *refusalsQuery) (*Body[Page[refusal.Row]], error) {
	return list(s.Devices.RefusalsOf(ctx, actor, in.Org, in.Limit))
}

// revocations is the last revocation list. To make one all devices are read, and
// anybody may ask: those who ask together, or soon after, share it. The doors do
// not use it; they know at once.
type revocations struct {
	sync.Mutex
	der  []byte
	made time.Time
}

const revocationsKept = 2 * time.Second

func (k *revocations) get(make func() ([]byte, error)) ([]byte, error) {
	k.Lock()
	defer k.Unlock()
	if time.Since(k.made) < revocationsKept {
		return k.der, nil
	}
	der, err := make()
	if err == nil {
		k.der, k.made = der, time.Now()
	}
	return der, err
}

// revocationList is public, as such lists are.
func (s *server) revocationList(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	der, err := s.revoked.get(func() ([]byte, error) { return s.Devices.RevocationList(context.WithoutCancel(ctx)) })
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "application/pkix-crl")
		c.SetStatus(http.StatusOK)
		_, _ = c.BodyWriter().Write(der) // the client is gone if this fails
	}}, nil
}
