"""The enclave's image: the exact files that an enclave's process runs, and their measurement."""
