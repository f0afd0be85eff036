package web

// How many feeds of activity are followed at once. Each waits most of the time,
// and holds a reader of the database only while it reads a page.
const (
	maxFeeds      = 40
	maxFeedsOfOne = 4
)
