"""The proofs of ancestors, checked together: a batch costs less than half of one by one.

While a history is walked, a proof is taken down and not checked; `settle` then checks all of them
in one equation with fresh 128-bit weights (threat Z23). What was concluded before that counts only
when every proof holds. What an enclave signs itself never comes here: its proofs are checked one by
one.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.errors import GrailError, Incorrect
from grail.zk import groth16
from grail.zk.groth16 import Statement


class ProofBatch:
    """The statements met on one walk. `verify` is what `correct` takes for its verifier."""

    def __init__(self) -> None:
        self._open: list[Statement] = []
        self._verdicts: dict[Statement, GrailError | None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def verify(self, vk: bytes, publics: Sequence[int], proof: bytes) -> None:
        """Take down a statement; once a batch has failed, check it. Raises as `groth16.verify`."""
        statement = Statement(vk, tuple(publics), proof)
        if self._verdicts is None:
            self._open.append(statement)
        elif statement not in self._verdicts:
            groth16.verify(*statement)
        elif (fault := self._verdicts[statement]) is not None:
            raise fault

    def settle(self) -> None:
        """Check all that was taken down. Raises `Incorrect` unless every proof holds.

        After that each statement has its own verdict, so that a second walk comes to what it would
        have come to without a batch.
        """
        if not self._open:
            return
        faults = groth16.failing(self._open)
        if faults:
            found = {each: faults.get(index) for index, each in enumerate(self._open)}
            self._verdicts = found
            raise Incorrect(f"{len(faults)} of {len(self._open)} proofs do not hold")
        self._open.clear()
