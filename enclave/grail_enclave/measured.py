"""The configuration's register: documents say which file this enclave was started with.

An image names nothing that differs from network to network, so one measurement is good for all of
them; what does differ stands in PCR16 (threat A13). A devnet's launcher measures the file before it
starts the enclave. On Nitro nobody does: there the enclave, whose code PCR0 stands for, extends the
register itself, and locks it, since documents carry locked registers alone.
"""

from __future__ import annotations

import hmac

from grail.attestation.pcr import CONFIGURATION, digest, measured
from grail.errors import InvalidInput
from grail_enclave.nsm import Module


def bind(module: Module, configuration: bytes) -> None:
    """See that documents carry this very configuration from now on.

    Raises `InvalidInput` where the module holds another one, `Unavailable` where it gives none.
    """
    expected = measured(configuration)
    locked = CONFIGURATION in module.describe().locked
    if locked:
        found = module.pcr(CONFIGURATION)
    else:
        found = module.extend(CONFIGURATION, digest(configuration))
    if not hmac.compare_digest(found, expected):
        raise InvalidInput(
            f"configuration: PCR{CONFIGURATION} of the security module is of another file",
            hint="the file was changed after it was measured: start with the measured one",
        )
    if not locked:
        module.lock(CONFIGURATION)
