package ledger

// FailSteps lets steps of putting the checkpoint outside fail.
func (l *Ledger) FailSteps(fail func(step string, do func() error) error) { l.signer.fail = fail }
