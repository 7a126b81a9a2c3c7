"""The ledger's mathematics and its offline verifier: standard library only."""
