"""Fixtures for tests against a real network; loaded by pytest wherever grail-pro is installed.

    def test_faucet(devnet):
        devnet.faucet(address, 100_000)

`devnet` is one network for the whole session: its tests see each other's blocks. A test that kills
operators or unwinds blocks takes `fresh_devnet`, a network of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from grail_devnet.devnet import Devnet


@pytest.fixture(scope="session")
def devnet() -> Iterator[Devnet]:
    """A running network of 16 operators with zkBTC deployed, shared by the session's tests."""
    from grail_devnet.devnet import Devnet

    with Devnet(progress=_quiet) as running:
        yield running


@pytest.fixture
def fresh_devnet() -> Iterator[Callable[..., Devnet]]:
    """Starts networks that end with the test: `fresh_devnet(operators=4, quorum=3)`."""
    from grail_devnet.devnet import Devnet

    with ExitStack() as stack:

        def start(**options: Any) -> Devnet:
            return stack.enter_context(Devnet(progress=_quiet, **options))

        yield start


def _quiet(_step: str) -> None:
    """Tests show no progress."""
