package id

import "github.com/google/uuid"

// Named is the identifier of the one thing of a name in a space (UUID version 5):
// the same name gives the same identifier on every server. A space that is no
// identifier is as good as any other.
func Named(space, name string) string {
	within, err := uuid.Parse(space)
	if err != nil {
		within = uuid.NewSHA1(uuid.NameSpaceOID, []byte(space))
	}
	return uuid.NewSHA1(within, []byte(name)).String()
}
