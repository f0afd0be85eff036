// Package test holds the tests of the whole house: the real program with its real doors, as people, phones and devices meet it.
//
// What they guarantee: the main job works end to end on both engines (job_test.go); nothing acknowledged is lost when the
// process is killed (kill_test.go); bad input is refused with place and mend and delays nobody (badinput_test.go); the
// commands explain themselves and refuse what would harm (cli_test.go); a new user gets through the demo in a browser
// (browser_test.go).
//
// QANAT_SOAK=1 makes the tests of endurance longer, QANAT_KILLS sets how often the server is killed.
package test

import (
	"os"
	"testing"

	"github.com/qanat-water/qanat/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

func soak() bool { return os.Getenv("QANAT_SOAK") == "1" }
