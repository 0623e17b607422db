"""A host for each test: what it is made of is in `host_world`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from enclave_world import World
from host_world import Running, running

Start = Callable[..., contextlib.AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture
def host(world: World, tmp_path: Path) -> Start:
    """Starts a host: `async with host() as running`; `world` is another one than the session's."""
    return lambda world=world, **more: running(world, tmp_path, **more)


@pytest.fixture
def host_of(tmp_path: Path) -> Start:
    """Starts a host in a world of the test's own: `async with host_of(world) as running`."""
    return lambda world, **more: running(world, tmp_path, **more)
