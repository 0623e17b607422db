"""Which chain, and which Grail network on it: the parameters that checks take as an object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from grail.crypto.schnorr import tagged_hash
from grail.types import BlockHash, OutPoint


@dataclass(frozen=True, slots=True)
class Chain:
    """The rules of a Bitcoin chain that a header chain and an address need.

    `pow_limit_bits` is the easiest target in compact form, `retarget_interval` is in blocks,
    `target_spacing` in seconds; `no_retarget` is regtest's rule.
    """

    name: str
    hrp: str
    genesis_hash: BlockHash
    pow_limit_bits: int
    retarget_interval: int = 2016
    target_spacing: int = 600
    no_retarget: bool = False


MAINNET = Chain(
    "main",
    "bc",
    BlockHash.from_hex("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"),
    0x1D00FFFF,
)
REGTEST = Chain(
    "regtest",
    "bcrt",
    BlockHash.from_hex("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"),
    0x207FFFFF,
    no_retarget=True,
)


@dataclass(frozen=True)
class Network:
    """One Grail network: a chain, and the outpoint that input 0 of `deploy` spends.

    `k` is the depth in blocks at which a deposit counts and a roster begins to rule; `staleness`
    is how many blocks old an operator's view may be when it signs.
    """

    chain: Chain
    grail_outpoint: OutPoint
    k: int = 6
    staleness: int = 6

    @cached_property
    def id(self) -> bytes:
        """NET = H("grail/net", genesis hash (internal order) || grail outpoint)."""
        return tagged_hash(
            "grail/net", bytes(self.chain.genesis_hash) + self.grail_outpoint.serialize()
        )

    def tagged(self, tag: str, message: bytes) -> bytes:
        """H(tag, NET || message): a hash that means nothing on another network."""
        return tagged_hash(tag, self.id + message)
