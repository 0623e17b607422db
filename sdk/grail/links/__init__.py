"""Links between enclaves: authenticated by attestation, sealed from the hosts that carry them."""
