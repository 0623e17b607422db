"""A change of roster on a network of sixteen: what is guarded moves along, and nothing is lost."""

from __future__ import annotations

from roster_story import whole

from acceptance.main_job import own_state
from grail_devnet.devnet import Devnet


def roster_change() -> str:
    """Fifty vault outputs, three pools and five open deposits, one of sixteen operators replaced."""
    with own_state(), Devnet(progress=str) as network:
        return whole(network, outputs=50, pools=3, deposits=5)


PROMISES = {"roster change": roster_change}
