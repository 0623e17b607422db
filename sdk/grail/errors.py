"""Every error that the project raises. Two roots by fault: the caller's input, and the other side.

GrailError                        .hint says what to do; str(e) says what was got and expected
  InvalidInput (ValueError)       the caller's fault: a wrong length, an amount below 0
    DecodeError                   bytes that are not what they claim to be
      Truncated                   the bytes end too early
      TrailingBytes               bytes are left after the end
      TooDeep                     nested deeper than the limit
      TooLarge                    longer than the limit
      DuplicateKey                a map has one key twice
      NotCanonical                decodes, but another encoding is the canonical one
        Indefinite                a length that is not stated
    InsufficientFunds             the wallet's plain coins do not cover what was asked
    WouldBurn                     the transaction would destroy charms and nobody asked for that
  Incorrect                       evidence does not hold
    ProofInvalid                  a Groth16 proof does not verify
    SignatureInvalid              a Schnorr signature does not verify
    RuleBroken                    a rule that has a name is broken: .rule, .got, .expected
      SpellIncorrect              a spell; .rule is PROTOCOL's name of the refusal
      AttestationInvalid          a Nitro document does not hold; .rule is the check's name
      LinkInvalid                 a link's other end is not who it should be, or its message is not
                                  what was sent; .rule is the check's name
  Unsatisfied                     a circuit's constraint failed: its line, and the values
  Refused                         an operator said no: .operator, .rule, .got, .expected
    QuorumNotReached              too few operators answered alike: .replies says who and why
  Superseded                      another transaction took its place for good: .winner
  Misbehaved                      a peer broke the protocol: .culprits, .evidence
  Unavailable                     a node or operator could not be reached in time, or a disk is full
    ChainFull                     too many unconfirmed transactions hang together: wait for a block
    NodeError                     bitcoind answered with an error: .code is RPC's number
    NodeUnfit                     a bitcoind that cannot serve (relays no large OP_RETURN)
    SourceUnfit                   a source of randomness that repeats itself: no key comes from it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class GrailError(Exception):
    """Root of all errors of the project.

    `hint` is one sentence that says what to do next, apart from `str(e)` which says what happened.
    A traceback shows it below the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def hint(self) -> str:
        """What to do next; empty where nothing helps."""
        return self._hint

    @hint.setter
    def hint(self, text: str) -> None:
        self._hint = text
        self.__notes__ = [f"hint: {text}"] if text else []


class InvalidInput(GrailError, ValueError):
    """The caller's value cannot be used."""


class DecodeError(InvalidInput):
    """Bytes are not what they claim to be."""


class Truncated(DecodeError):
    """The bytes end before the value does."""


class TrailingBytes(DecodeError):
    """Bytes are left after the value's end."""


class TooDeep(DecodeError):
    """Nested deeper than the limit."""


class TooLarge(DecodeError):
    """Longer than the limit."""


class DuplicateKey(DecodeError):
    """A map has one key twice."""


class NotCanonical(DecodeError):
    """The value decodes, but these are not its canonical bytes."""


class Indefinite(NotCanonical):
    """A string, array or map whose length is not stated."""


class InsufficientFunds(InvalidInput):
    """The wallet's plain coins do not cover what was asked."""


class WouldBurn(InvalidInput):
    """The transaction would destroy charms, and nobody asked for that."""


class Incorrect(GrailError):
    """Evidence does not hold."""


class ProofInvalid(Incorrect):
    """A Groth16 proof does not verify."""


class SignatureInvalid(Incorrect):
    """A Schnorr signature does not verify."""


class RuleBroken(Incorrect):
    """Something breaks a rule that has a name, `rule`.

    `got` and `expected` are short texts for people, never secrets.
    """

    def __init__(
        self, rule: str, message: str, *, got: str = "", expected: str = "", hint: str = ""
    ) -> None:
        super().__init__(f"{rule}: {message}", hint=hint)
        self.rule = rule
        self.detail = message
        self.got = got
        self.expected = expected


class AttestationInvalid(RuleBroken):
    """A Nitro document does not say what it should, or nobody who is trusted says it.

    `rule` is the check's name; docs/attestation.md lists them.
    """


class LinkInvalid(RuleBroken):
    """The other end of a link is not who it should be, or what came is not what it sent.

    `rule` is the check's name; docs/links.md lists them. The link is over: a new handshake is the
    way on.
    """


class SpellIncorrect(RuleBroken):
    """A spell or its transaction breaks a rule of the protocol.

    `rule` is the refusal's name in the protocol (`TurnstileBroken`, `RowPayee`, ...).
    """


class Unsatisfied(GrailError):
    """A constraint of a circuit failed.

    `file` and `line` name the line of the app's code that stated it, `values` the values in it.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        values: Mapping[str, int] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.values = dict(values or {})


class Refused(GrailError):
    """An operator said no: `operator` is its key (hex) or name, `rule` the refusal's name."""

    def __init__(
        self,
        rule: str,
        message: str,
        *,
        operator: str = "",
        got: str = "",
        expected: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(f"{rule}: {message}", hint=hint)
        self.operator = operator
        self.rule = rule
        self.detail = message
        self.got = got
        self.expected = expected


class QuorumNotReached(Refused):
    """Too few operators answered alike. `replies` maps an operator's name to what it said."""

    def __init__(
        self, rule: str, message: str, *, replies: Mapping[str, str], hint: str = ""
    ) -> None:
        super().__init__(rule, message, hint=hint)
        self.replies = dict(replies)


class Superseded(GrailError):
    """A transaction can no longer confirm: `winner` (a txid) spends what it spends, in a block."""

    def __init__(self, message: str, *, winner: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.winner = winner


class Misbehaved(GrailError):
    """A peer broke the protocol. `evidence` convinces a third party."""

    def __init__(
        self, message: str, *, culprits: Sequence[str], evidence: bytes = b"", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.culprits = tuple(culprits)
        self.evidence = evidence


class Unavailable(GrailError):
    """A node or operator could not be reached in time, or the disk did not take a file."""


class ChainFull(Unavailable):
    """Too many unconfirmed transactions hang together for one more; the next block makes room."""


class NodeError(Unavailable):
    """The Bitcoin node answered with an error. `code` is the RPC error number."""

    def __init__(self, message: str, *, code: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class NodeUnfit(Unavailable):
    """A bitcoind that cannot serve, such as one that relays no large OP_RETURN."""


class SourceUnfit(Unavailable):
    """A source of randomness that repeats itself, is stuck, or gives too little."""
