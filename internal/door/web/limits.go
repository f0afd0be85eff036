package web

import (
	"fmt"

	admin "github.com/qanat-water/qanat/internal/people/server"
)

// Limits are those of the API that are in force.
func Limits() []admin.Limit {
	of := func(name, format string, args ...any) admin.Limit {
		return admin.Limit{Area: "API", Name: name, Value: fmt.Sprintf(format, args...)}
	}
	return []admin.Limit{
		of("requests of one address", "%d a second, %d at once", perSecond, burst),
		of("claims of one address", "one in %.0f seconds, %d at once", 1/claimRate, claimBurst),
		of("size of a request", "%d KiB signed in, %d KiB else", maxBody>>10, maxOpenBody>>10),
		of("size of a form", "%d MiB", maxForm>>20),
		of("size of a photo", "%d MiB", maxPhoto>>20),
		of("size of an import", "%d MiB", maxImport>>20),
		of("large uploads at once", "%d, %d of one person", maxUploads, maxUploadsOfOne),
		of("archives at once", "%d, %d of one person", maxExports, maxExportsOfOne),
		of("activity feeds at once", "%d, %d of one reader", maxFeeds, maxFeedsOfOne),
		of("time to take the next bytes of an answer", "%.0f seconds", moveTime.Seconds()),
	}
}
