"""A deposit address: BTC sent there becomes zkBTC for its owner, or goes back to him.

The address is an escrow of the zkBTC contract (section 1 of the protocol): the quorum spends it
only when the owner gets what the terms say; after `delay` blocks the owner's own key takes it back.
The SDK derives the address itself from the roster on chain and the user's key, so that nobody who
shows an address can put in his own (threat S30).
"""

from __future__ import annotations

from dataclasses import dataclass

from grail.bitcoin import addresses
from grail.bitcoin.addresses import Roster
from grail.bitcoin.taproot import TaprootOutput
from grail.charms.app import Contract
from grail.charms.spell import Row
from grail.draft.assembled import Context
from grail.errors import Incorrect, InvalidInput
from grail.types import XOnlyKey

MAX_FEE = 3_000
"""Sats that may be taken off a deposit for the fee and the carrier, unless its owner says other."""

DELAY = 1_008
"""Blocks until an unserved deposit may be taken back: a week."""

SERVICE_MARGIN = 36
"""Blocks before that in which the operators serve no more (section 12)."""


@dataclass(frozen=True)
class Deposit:
    """Where to pay, for whom, and on which terms.

    `owner_script` receives the zkBTC, `user_key` can recover after `delay` blocks, and at most
    `max_fee` sats are taken off. `roster` is the one that rules when the address is made.
    """

    context: Context
    contract: Contract
    roster: Roster
    owner_script: bytes
    user_key: XOnlyKey
    max_fee: int = MAX_FEE
    delay: int = DELAY

    @classmethod
    def of(
        cls,
        context: Context,
        owner_script: bytes,
        user_key: XOnlyKey,
        *,
        max_fee: int = MAX_FEE,
        delay: int = DELAY,
    ) -> Deposit:
        """A deposit under the ruling roster. Raises `InvalidInput` for terms out of range."""
        if not addresses.MIN_RECOVERY <= delay <= addresses.MAX_RECOVERY:
            raise InvalidInput(
                f"delay of {delay} blocks, expected {addresses.MIN_RECOVERY} to "
                f"{addresses.MAX_RECOVERY}"
            )
        if max_fee <= 0:
            raise InvalidInput(f"max fee of {max_fee} sats, expected more than 0")
        return cls(context, context.zkbtc, context.roster, owner_script, user_key, max_fee, delay)

    @property
    def output(self) -> TaprootOutput:
        """The escrow output: leaves `quorum`, `recovery`, `commitment`."""
        eid = addresses.escrow_id(
            self.context.network, bytes(self.contract), self.owner_script, (self.max_fee,)
        )
        return addresses.escrow(self.roster, eid, self.delay, self.user_key)

    @property
    def script(self) -> bytes:
        """The scriptPubKey to pay to."""
        return self.output.script_pubkey

    @property
    def address(self) -> str:
        """The address to pay to."""
        return addresses.to_address(self.script, self.context.network.chain.hrp)

    def check_address(self, shown: str) -> None:
        """Compare an address that somebody showed with the derived one (threat S30).

        Raises `Incorrect` when it is another one, `InvalidInput` when it is none.
        """
        script = addresses.from_address(shown, self.context.network.chain.hrp)
        if script != self.script:
            raise Incorrect(
                f"the address shown is not yours: got {shown}, expected {self.address}",
                hint="pay to no address that the SDK did not derive",
            )

    def row(self, input_index: int, output_index: int) -> Row:
        """The row that answers this deposit in a spell."""
        return Row(
            input_index,
            output_index,
            self.owner_script,
            (self.max_fee,),
            self.delay,
            self.user_key,
        )
