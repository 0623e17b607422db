"""The untrusted process beside an enclave: HTTP in, peers out."""

import sys

# httpx loads its command line, and with it rich and pygments, where those are installed: a fifth of
# a host's start and 1.5 MB that no host needs. Said not to be there, it is left out.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
