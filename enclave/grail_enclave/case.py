"""One request under examination: outside data, own anchors, what rules have established."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from grail.errors import Refused
from grail.operators.certificates import Proposal
from grail.operators.evidence import SigningRequest
from grail.operators.messages import Scope, Standing, Vote
from grail_enclave.anchors import Anchors

T = TypeVar("T")


class Case:
    """What the rules look at. The voting state is put in as evidence before the last rules run.

    `forced` says that others admitted the request before, so that what was in time then is not
    asked again; `late` that it passed for this alone.
    """

    def __init__(self, request: SigningRequest, anchors: Anchors) -> None:
        self.request = request
        self.anchors = anchors
        self.scope: Scope | None = None
        self.proposal: Proposal | None = None
        self.votes: Sequence[Vote] = ()
        self.standing: Standing | None = None
        self.forced = False
        self.late = False
        self._passed: set[str] = set()
        self._established: dict[type, object] = {}

    def renew(self, anchors: Anchors) -> None:
        """Look again with the same tip and record: what was established stands, votes are new."""
        self.anchors = anchors
        self.scope, self.proposal, self.votes, self.standing = None, None, (), None

    def has(self, name: str) -> bool:
        """Whether the rule of this name has passed."""
        return name in self._passed

    def passed(self, name: str) -> None:
        """Note that the rule of this name has passed."""
        self._passed.add(name)

    def establish(self, proof: object) -> None:
        """Keep what a rule has checked."""
        if proof is None:
            raise TypeError("a rule returned nothing: it has checked nothing")
        self._established[type(proof)] = proof

    def got(self, kind: type[T]) -> T:
        """What a rule established, by its type. Raises `Refused` when that rule did not pass."""
        proof = self._established.get(kind)
        if not isinstance(proof, kind):
            raise Refused("Unchecked", f"no rule has established {kind.__name__}")
        return proof
