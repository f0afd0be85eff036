package test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// device publishes a year of weekly volumes with mosquitto_pub: six loggers of up to 64 pumps, a channel each.
func (j *job) device() {
	publish, openssl := rig.Tool(j.T, "mosquitto_pub", "mosquitto-clients"), rig.Tool(j.T, "openssl", "openssl")
	table := [][]string{{"pumpid", "1", "2"}, {"A/1", "120.5", "NA"}, {"A/2", "NA", "80"}}
	if root, err := rig.Root(); err == nil {
		if f, err := os.Open(filepath.Join(root, "..", "shared/data/sensors/kwale-handpump-weekly-2014.csv")); err == nil {
			defer f.Close()
			if table, err = csv.NewReader(f).ReadAll(); err != nil {
				j.Fatal(err)
			}
		}
	}
	const channels = 64
	for i, pumps := range slices.Collect(slices.Chunk(table[1:], channels)) {
		serial := fmt.Sprintf("KW-%03d", i+1)
		var d *rig.Device
		if i == 0 { // as an installer does by hand
			dir := j.TempDir()
			key, request := filepath.Join(dir, "key.pem"), filepath.Join(dir, "request.pem")
			if out, err := exec.Command(openssl, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN="+serial).CombinedOutput(); err != nil { // #nosec G204 -- found by Tool
				j.Fatalf("openssl req: %v\n%s", err, out)
			}
			keyPEM, err := os.ReadFile(key) // #nosec G304 -- just made
			if err != nil {
				j.Fatal(err)
			}
			requestPEM, err := os.ReadFile(request) // #nosec G304 -- just made
			if err != nil {
				j.Fatal(err)
			}
			d = j.Claim(serial, j.Org, j.site.ID, string(requestPEM), keyPEM)
		} else {
			d = j.Server.Device(serial, j.Org, "")
		}
		j.devices = append(j.devices, d)
		j.secrets["the claim code of "+serial] = d.Code
		j.published[d.ID] = map[string][]point{}
		var lines bytes.Buffer
		for _, pump := range pumps {
			channel := strings.ReplaceAll(pump[0], "/", "-")
			var points []point
			var message []map[string]any
			for week, text := range pump[1:] {
				value, err := strconv.ParseFloat(text, 64)
				if err != nil {
					continue // NA
				}
				at := time.Date(2013, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 7*week).UnixMilli()
				points = append(points, point{at, value})
				message = append(message, map[string]any{"ts": at, "values": map[string]float64{channel: value}})
			}
			if len(points) == 0 {
				continue
			}
			j.published[d.ID][channel] = points
			if err := json.NewEncoder(&lines).Encode(message); err != nil {
				j.Fatal(err)
			}
		}
		host, port, _ := strings.Cut(d.MQTT, ":")
		command := exec.Command(publish, "-h", host, "-p", port, "--cafile", d.Root, "--cert", d.Certificate, "--key", d.Key, "-q", "1", "-V", []string{"mqttv311", "mqttv5"}[i%2], "-t", d.Topic, "-l") // #nosec G204 -- found by Tool
		command.Stdin = &lines
		if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
			j.Fatalf("mosquitto_pub as %s: %v\n%s", serial, err, out)
		}
	}
	shown := j.devicesShown()
	if at := rig.Get[rig.List[rig.Doc[struct{ Serial string }]]](j.Admin, "/sites/"+j.site.ID+"/devices").Items; len(at) != 1 || at[0].Body.Serial != "KW-001" {
		j.Errorf("the site's page shows the devices %+v", at)
	}
	j.Logf("%d devices, %d channels, %d readings", len(j.devices), len(table)-1, shown)
}

// devicesShown compares every reading that was published with what the portal shows.
func (j *job) devicesShown() (readings int) {
	j.Helper()
	for _, d := range j.devices {
		view := rig.Get[struct {
			rig.Doc[struct {
				State    string
				Channels []struct{ Key string }
			}]
			Latest []struct {
				Channel string
				TS      int64
				Value   float64
			}
			LastSeen *time.Time `json:"last_seen"`
		}](j.Admin, "/devices/"+d.ID)
		want := j.published[d.ID]
		if view.Body.State != "active" || view.LastSeen == nil || len(view.Latest) != len(want) {
			j.Errorf("device %s is %s, seen %v, with %d latest values; want active and %d", d.Serial, view.Body.State, view.LastSeen, len(view.Latest), len(want))
		}
		for _, latest := range view.Latest {
			points := want[latest.Channel]
			if len(points) == 0 || points[len(points)-1] != (point{latest.TS, latest.Value}) {
				j.Errorf("device %s channel %s: the latest value is %v at %d", d.Serial, latest.Channel, latest.Value, latest.TS)
			}
		}
		all := rig.Get[struct {
			Series []struct {
				Channel string
				TS      []int64
				Value   []float64
			}
		}](j.Admin, "/devices/"+d.ID+"/readings?from=2013-12-01T00:00:00Z&to=2015-02-01T00:00:00Z&limit=1000")
		if len(all.Series) != len(want) {
			j.Errorf("device %s has %d series, want %d", d.Serial, len(all.Series), len(want))
		}
		for _, series := range all.Series {
			var got []point
			for i := range series.TS {
				got = append(got, point{series.TS[i], series.Value[i]})
			}
			if !slices.Equal(got, want[series.Channel]) {
				j.Errorf("device %s channel %s: %d points, %d were published; or they differ", d.Serial, series.Channel, len(got), len(want[series.Channel]))
			}
			readings += len(got)
		}
	}
	return readings
}
