package main

import (
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/witness"
	"github.com/qanat-water/qanat/internal/ledger"
)

// witnessConfig is one [[witness]]: somebody outside who cosigns the ledger's checkpoints.
type witnessConfig struct {
	// URL is the witness's submission prefix: "https://witness.example.org/qanat".
	URL string `toml:"url"`
	// Key is its verifier key, an Ed25519 cosignature key: "witness.example.org/w1+…+…".
	Key string `toml:"key"`
	// Required keeps the server from starting while the witness cannot be asked.
	Required bool `toml:"required"`
}

// maxWitnesses is what fits into a note that any reader must accept, with our own signature.
const maxWitnesses = 15

func (c config) witnesses() ([]ledger.Witness, error) {
	if len(c.Witness) > maxWitnesses {
		return nil, fault.Newf(fault.Invalid, "config.witness", "There are %d witnesses, at most %d can be", len(c.Witness), maxWitnesses).WithMend("Remove some")
	}
	var all []ledger.Witness
	known := map[string]bool{}
	for _, w := range c.Witness {
		key, err := witness.ParseKey(w.Key)
		if err != nil {
			return nil, err
		}
		if known[key.String()] {
			return nil, fault.Newf(fault.Invalid, "config.witness", "The witness %s is configured twice", key.Name()).WithMend("Remove one")
		}
		known[key.String()] = true
		client, err := witness.New(w.URL, key)
		if err != nil {
			return nil, err
		}
		all = append(all, ledger.Witness{Client: client, Required: w.Required})
	}
	return all, nil
}
