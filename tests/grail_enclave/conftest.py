"""One world for all tests of a module; each test makes enclaves of its own."""

from __future__ import annotations

import pytest
from enclave_world import World


@pytest.fixture(scope="module")
def shared() -> World:
    """A chain with zkBTC on it. Tests may add blocks, never fork it."""
    return World.begun()
