package ledger

// Waiting tells how many writes wait for the next group, and how many may before
// a writer waits to be let in.
func (l *Ledger) Waiting() (waiting, most int) { return len(l.jobs), cap(l.jobs) }
