"""The operator's enclave: all that is measured."""
