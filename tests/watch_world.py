"""Attested enclaves, one of whose modules has a clock that a test sets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from enclave_world import World
from society_world import Towns, attesting, module

from grail.attestation.chain import Root
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import now

DAYS = 30
"""How old the network is."""


class Watch:
    """The clock of one module, which is off by what a test says.

    Its certificates are as old as the network's, thirty days: whenever it says it is, they hold.
    """

    def __init__(self, world: World, towns: Towns, authority: Authority) -> None:
        self.world = world
        self.towns = towns
        self.authority = authority
        self.off = -DAYS * 86_400.0
        self.module = module(towns.configuration, authority=authority, clock=self)
        self.set(0)

    def __call__(self) -> datetime:
        return self.towns.date() + timedelta(seconds=self.off)

    def set(self, off: float) -> None:
        """From now on it is off by so many seconds, and signs by a key of that time."""
        self.off = off
        self.module._exchange.__self__._leaf = None


def with_a_watch(*, begins: bool = True, begun: datetime | None = None) -> tuple[Towns, Watch]:
    """Three enclaves and a fourth, whose module has a clock that a test sets: a roster, or none."""
    date = begun or now()
    authority = Authority.draw(date - timedelta(days=DAYS))
    root = Root.from_pem(authority.root_pem).sha256
    world = World.begun()
    settings = replace(world.configuration, operators=4, quorum=3, attesting=attesting(root=root))
    towns = Towns(settings, [], begun=date)
    watch = Watch(world, towns, authority)
    for _ in range(3):
        towns.add(own=module(settings, authority=authority, clock=towns.date))
    towns.add(own=watch.module)
    if begins:
        towns.start()
    return towns, watch
