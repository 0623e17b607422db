"""What an app declares: kinds of state, and for each action what it takes, gives and reads.

From a declaration follows the descriptor of PROTOCOL section 5. The facts that the protocol calls
automatic need not be written down; what an action reads beyond them it names here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from grail import codec
from grail.charms import descriptor, fact_list, state
from grail.charms.app import Data
from grail.charms.fact_list import IN, OUT, OWN, AppRef, Fact, FieldRef, Name
from grail.errors import InvalidInput

if TYPE_CHECKING:
    from grail.apps.view import Transaction

FieldType = Literal["bool", "u64", "u128", "id", "blob"]


@dataclass(frozen=True)
class Kind:
    """A kind of state: an n-app's charm `[number, field, ...]` at a guarded output.

    A free kind may lie at ordinary outputs and never at a guarded one.
    """

    number: int
    fields: tuple[tuple[str, FieldType], ...]
    free: bool = False

    def index(self, name: str) -> int:
        """The place of a field. Raises: InvalidInput when the kind has none of that name."""
        for index, (known, _) in enumerate(self.fields):
            if known == name:
                return index
        raise InvalidInput(f"kind {self.number} has no field {name!r}")

    def type_of(self, name: str) -> FieldType:
        """The type of a field. Raises: InvalidInput when the kind has none of that name."""
        return self.fields[self.index(name)][1]

    def token(self, name: str, j: int = 0) -> FieldRef:
        """The token whose id stands in that field of port j: an appref for `tokens`."""
        if self.type_of(name) != "id":
            raise InvalidInput(f"field {name!r} is no id, so it names no token")
        return FieldRef(self.number, j, self.index(name))

    def described(self) -> state.Kind:
        """The kind as the bundle has it."""
        return state.Kind(self.free, self.fields)

    def state(self, **values: Data) -> list[Data]:
        """The charm of this kind, fields by name: `[number, value, ...]`.

        Raises: InvalidInput when a field is missing or unknown; SpellIncorrect (StateInvalid) when
        a value is not of its type.
        """
        names = [name for name, _ in self.fields]
        if set(values) != set(names):
            raise InvalidInput(f"state: got {sorted(values)}, expected {names}")
        charm = [self.number, *(values[name] for name in names)]
        state.check({self.number: self.described()}, charm)
        return charm

    def read(self, charm: Data) -> dict[str, Data]:
        """The fields of a charm by name.

        Raises: SpellIncorrect (StateInvalid) when it is no state of this kind.
        """
        state.check({self.number: self.described()}, charm)
        return dict(zip((name for name, _ in self.fields), charm[1:], strict=True))


@dataclass(frozen=True)
class ActionSpec:
    """One action as declared; `method` states its constraints."""

    number: int
    name: str
    method: Callable[..., None]
    takes: tuple[tuple[Kind, int], ...]
    gives: tuple[tuple[Kind, int], ...]
    plain: bool
    rows: int
    terms: int
    pays: int
    signers: int
    args: int
    changes: tuple[str, ...]
    facts: tuple[Fact, ...]
    file: str = field(compare=False)
    line: int = field(compare=False)

    def kind(self, number: int) -> Kind:
        """The kind of this number. Raises: InvalidInput when no port has it."""
        for kind, _ in (*self.takes, *self.gives):
            if kind.number == number:
                return kind
        raise InvalidInput(f"action {self.name} has no port of kind {number}")

    @property
    def shape(self) -> fact_list.Shape:
        """The numbers that the facts refer to."""
        kinds = {kind.number: kind.described() for kind, _ in (*self.takes, *self.gives)}
        return self.described(b"").shape(kinds)

    def described(self, vk: bytes) -> descriptor.Action:
        """The action as the bundle has it."""
        return descriptor.Action(
            number=self.number,
            name=self.name,
            ports_in=_counted(self.takes),
            ports_out=_counted(self.gives),
            plain=self.plain,
            rows=self.rows,
            terms=self.terms,
            pays=self.pays,
            signers=self.signers,
            args=self.args,
            changes=self.changes,
            facts=self.facts,
            vk=vk,
        )


Method = TypeVar("Method", bound="Callable[[Any, Transaction], None]")


def action(
    number: int,
    *,
    takes: Mapping[Kind, int] | None = None,
    gives: Mapping[Kind, int] | None = None,
    changes: str = "",
    tokens: Sequence[AppRef] = (),
    plain: bool = False,
    rows: int = 0,
    terms: int = 0,
    row_tokens: Sequence[AppRef] = (),
    pays: int = 0,
    pay_tokens: Sequence[AppRef] = (),
    signers: int = 0,
    args: int = 0,
    fresh: bool = False,
    supply: bool = False,
    height: bool = False,
    self_id: bool = False,
    net: bool = False,
) -> Callable[[Method], Method]:
    """Declare a method of a `ZkApp` as the action of this number.

    `takes` and `gives` count the ports of each kind; `changes` holds "n" and "t" for the own apps
    that it may change; `tokens` are the tokens, beside the own one, that ports hold; `row_tokens`
    and `pay_tokens` those counted at escrow rows and payments. `supply` reads the sums of the own
    token even where it is kept. The rest is PROTOCOL section 5's.
    """

    def declare(method: Method) -> Method:
        taken, given = _ports(takes), _ports(gives)
        flags = {Name.FRESH: fresh, Name.HEIGHT: height, Name.SELF: self_id, Name.NET: net}
        facts = {
            *(Fact(Name.ARG, (i,)) for i in range(args)),
            *(Fact(Name.SIGNER, (i,)) for i in range(signers)),
            *(Fact(Name.PAY, (i, *_rising(pay_tokens))) for i in range(pays)),
            *(Fact(name, ()) for name, on in flags.items() if on),
            *(Fact(Name.SUPPLY, (side, OWN)) for side in (IN, OUT) if supply),
            *(Fact(Name.ROWS, _rising(row_tokens)) for _ in range(min(rows, 1))),
        }
        code = inspect.unwrap(method).__code__
        spec = ActionSpec(
            number=number,
            name=method.__name__,
            method=method,
            takes=taken,
            gives=given,
            plain=plain,
            rows=rows,
            terms=terms,
            pays=pays,
            signers=signers,
            args=args,
            changes=tuple(sorted(changes)),
            facts=(),
            file=code.co_filename,
            line=code.co_firstlineno,
        )
        refs = {*fact_list.named(facts), *tokens}
        facts |= fact_list.automatic(spec.shape, refs)
        rising = sorted(facts, key=lambda fact: codec.encode(fact.to_cbor()))
        spec = replace(spec, facts=tuple(rising))
        method.__dict__["action_spec"] = spec
        return method

    return declare


def _ports(ports: Mapping[Kind, int] | None) -> tuple[tuple[Kind, int], ...]:
    return tuple(sorted((ports or {}).items(), key=lambda port: port[0].number))


def _counted(ports: tuple[tuple[Kind, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((kind.number, count) for kind, count in ports)


def _rising(refs: Sequence[AppRef]) -> tuple[AppRef, ...]:
    # as the descriptor orders them: by the bytes that stand there
    return tuple(sorted(refs, key=lambda ref: codec.encode(Fact(Name.PAY, (ref,)).to_cbor())))
