"""The scene with a successor: named, and, 2,016 blocks later, counting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from enclave_world import ALICE, MALLORY
from succession_world import Heirs, mended

from grail.charms.app import Contract
from grail.charms.record import roster_state
from grail.operators.evidence import SigningRequest
from grail.wallet.coins import Coin
from socket_attacks.scene import Heist, Scene


@dataclass
class HeirScene(Heirs, Scene):
    """Hostile circuits, an honest heir, and units that may go over to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.heirs_coin, _ = self.heirs_vault()
        self.name_heir()

    def later(self) -> HeirScene:
        """The same world at the height from which the heir counts."""
        other = HeirScene.__new__(HeirScene)
        other.__dict__.update(self.__dict__)
        other.chain = self.chain.fork(self.chain.height)
        other.transactions = dict(self.transactions)
        other._living = []
        other.chain.mine_many(self.successor_from - other.chain.height)
        return other

    def going_over(
        self, heir: Contract, new: Coin, burned: int, gained: int, *, locktime: int | None = None
    ) -> SigningRequest:
        """Units of Alice's burned, the old vault down by as many, the heir up by `gained`."""
        held, vault = self.units[0], self.vaults[0]
        rest = {self.zkbtc.token: held.charms[self.zkbtc.token] - burned}
        return Heist(
            self,
            [vault, new, held, self.give(MALLORY, 60_000)],
            [
                (vault.sats - burned, self.guard(self.zkbtc), {}),
                (new.sats + gained, self.guard(heir), {}),
                (1_000, ALICE.script, {**rest, heir.token: gained}),
            ],
            {heir: (mended(), "settle")},
            locktime=min(self.successor_from - 1, self.chain.height)
            if locktime is None
            else locktime,
        ).request([mended()])

    def renaming(self, successor: bytes) -> SigningRequest:
        """The Grail NFT spent once more, for another successor."""
        assert self.named is not None
        state = roster_state(self.context.roster, self.heir.gid(self.network), self.successor_from)
        port = self.coin(self.named, 0, {self.zkbtc.nft: state})
        return naming_of(self, port, successor, self.chain.height + 5_000)


def naming_of(scene: Scene, port: Coin, successor: bytes, height: int) -> SigningRequest:
    """The Grail NFT names this successor, from this height on."""
    state = roster_state(scene.context.roster, successor, height)
    return Heist(
        scene,
        [port, scene.give(MALLORY, 60_000)],
        [(port.sats, scene.guard(scene.zkbtc), {scene.zkbtc.nft: state})],
        {scene.zkbtc: (scene.app, "roster")},
    ).request()


@cache
def named_scene() -> HeirScene:
    """The heir is named and does not count yet."""
    return HeirScene()


@cache
def counting_scene() -> HeirScene:
    """The heir counts."""
    return named_scene().later()
