"""A small network of our own making, and transactions on it that are correct until a test spoils them.

Nothing here comes from the published vectors: rosters, bundles and states are made from labels. The
keys of the bundles are real ones of a small circuit, and `Draft.check` takes a verifier that says yes
to every proof: whatever is still refused is refused by plain rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import sample_circuit
import slow_keys

from grail.bitcoin import addresses, script
from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.tx import Tx, TxIn
from grail.charms import rules
from grail.charms.app import App, Contract, Data, identity_of
from grail.charms.descriptor import Bundle
from grail.charms.fact_list import FieldRef, Shape, automatic
from grail.charms.record import Record, Reign, roster_state
from grail.charms.rules import CheckedTx, Prevout, Rule
from grail.charms.spell import ContractProof, Inputs, Row, Spell
from grail.charms.state import Kind
from grail.codec import encode
from grail.crypto.schnorr import KeyPair
from grail.types import OutPoint, Txid, TxOut, XOnlyKey
from grail.zk import groth16

RULES = rules.RULES


def label(text: str) -> bytes:
    """32 bytes that stand for a text."""
    return hashlib.sha256(text.encode()).digest()


def key(text: str) -> XOnlyKey:
    """A key on the curve."""
    return KeyPair(label(text)).public


def outpoint(text: str, vout: int = 0) -> OutPoint:
    """An outpoint by name."""
    return OutPoint(Txid(label(text)), vout)


def person(name: str) -> bytes:
    """Somebody's P2WPKH script."""
    return script.p2wpkh(label(name)[:20])


def yes(vk: bytes, publics: Sequence[int], proof: bytes) -> None:
    """A broken verifier: every proof holds (threat Z26)."""


NETWORK = Network(REGTEST, outpoint("grail"))
ROSTERS = tuple(Roster.of(e, [key(f"{e}/{i}") for i in range(4)], 3) for e in range(3))


@cache
def verifying_key(text: str) -> bytes:
    """A verifying key by name, for three public inputs."""
    return groth16.setup(sample_circuit.R1CS, label(text)).vk


def bundle(
    kinds: Mapping[int, list[Data]],
    actions: Mapping[int, dict[str, Data]],
    backed: str | None = None,
    *,
    single_party: bool = True,
) -> Bundle:
    """A bundle through the real reader; automatic facts are filled in, in their order."""
    known = {
        number: Kind(entry[0], tuple((name, type_) for name, type_ in entry[1:]))
        for number, entry in kinds.items()
    }
    value: dict[str, Data] = {
        "v": 1,
        "kinds": dict(kinds),
        "actions": {number: _action(number, entry, known) for number, entry in actions.items()},
        "setup": {"ptau": label("ptau"), "contributions": [], "single_party": single_party},
    }
    if backed:
        value["backed"] = backed
    return Bundle.parse(encode(value))


def _action(number: int, given: dict[str, Data], kinds: Mapping[int, Kind]) -> dict[str, Data]:
    empty: dict[str, Data] = {
        "name": f"action{number}",
        "ports_in": [],
        "ports_out": [],
        "plain": False,
        "rows": 0,
        "terms": 0,
        "pays": 0,
        "signers": 0,
        "args": 0,
        "changes": [],
        "facts": [],
        "vk": verifying_key(f"key{number}"),
    }
    action = {**empty, **given}
    shape = Shape(
        kinds,
        tuple(map(tuple, action["ports_in"])),
        tuple(map(tuple, action["ports_out"])),
        action["plain"],
        action["rows"],
        action["terms"],
        action["pays"],
        action["signers"],
        action["args"],
        tuple(action["changes"]),
    )
    refs = [ref for fact in action["facts"] for ref in _refs(fact)]
    found = [fact.to_cbor() for fact in automatic(shape, ["t", *refs])]
    known = {encode(fact): fact for fact in (*action["facts"], *found)}
    action["facts"] = [known[raw] for raw in sorted(known)]
    return action


def _refs(fact: list[Data]) -> list[Any]:
    skip = {3: 4, 7: 1, 8: 2}.get(fact[0], len(fact))
    return [FieldRef(*ref[1:]) if ref[0] == "field" else ref for ref in fact[skip:]]


PORT_1_1 = {"ports_in": [[0, 1]], "ports_out": [[0, 1]]}
UNITS = [[3, 0, 0, 0, ["field", 0, 0, f]] for f in (0, 1)] + [
    [3, 1, 0, 0, ["field", 0, 0, f]] for f in (0, 1)
]

ZKBTC_BUNDLE = bundle(
    {
        0: [
            False,
            ["epoch", "u64"],
            ["keys", "blob"],
            ["quorum", "u64"],
            ["internal_key", "blob"],
            ["successor", "blob"],
            ["successor_height", "u64"],
        ]
    },
    {
        0: {"name": "deploy", "ports_out": [[0, 1]], "changes": ["n"], "facts": [[6]]},
        1: {
            "name": "settle",
            "plain": True,
            "rows": 4,
            "terms": 1,
            "changes": ["t"],
            "facts": [[7, "t"]],
        },
        2: {"name": "roster", **PORT_1_1, "changes": ["n"], "plain": True},
    },
    backed="t",
)
POOL_BUNDLE = bundle(
    {
        0: [False, ["assetA", "id"], ["assetB", "id"], ["a", "u64"], ["paused", "bool"]],
        1: [True, ["text", "blob"]],
    },
    {
        0: {
            "name": "create",
            "ports_out": [[0, 1]],
            "changes": ["n", "t"],
            "facts": [[6], *UNITS[2:]],
        },
        1: {"name": "swap", **PORT_1_1, "changes": ["n"], "facts": UNITS},
        2: {"name": "add", **PORT_1_1, "changes": ["n", "t"], "facts": UNITS},
        3: {
            "name": "batch",
            **PORT_1_1,
            "rows": 2,
            "terms": 2,
            "changes": ["n"],
            "facts": [[11], [7, ["field", 0, 0, 0], ["field", 0, 0, 1]], *UNITS],
        },
        4: {
            "name": "pay",
            **PORT_1_1,
            "pays": 1,
            "signers": 1,
            "args": 1,
            "changes": ["n"],
            "facts": [[10, 0], [12], [13], [8, 0, ["field", 0, 0, 0]], [9, 0], *UNITS],
        },
        5: {"name": "mint", "changes": ["t"], "facts": [[6]]},
        6: {"name": "note", "changes": ["n"], "facts": [[12]]},
    },
)
ISSUE: dict[str, Data] = {"name": "issue", "changes": ["t"], "facts": [[6]]}
TOKEN_BUNDLE = bundle({}, {0: ISSUE})
CEREMONY = bundle({}, {0: ISSUE}, single_party=False)
"""A token's bundle whose keys several parties made."""
BUNDLES = {entry.vk: entry for entry in (ZKBTC_BUNDLE, POOL_BUNDLE, TOKEN_BUNDLE)}


def _outside_the_subgroup() -> bytes:
    """A compressed point of the twist's curve that is in no pairing's group: most are."""
    for x in range(1, 100):
        raw = x.to_bytes(64, "little")
        try:
            slow_keys.g2(raw)
        except slow_keys.Unsafe as exc:
            if "subgroup" in str(exc):
                return raw
    raise AssertionError("no such point")


def _unsafe() -> tuple[Bundle, ...]:
    """Bundles of a token, each with a key that nobody should trust."""
    vk = verifying_key("key0")
    keys = (
        label("no key"),
        vk[:160] + vk[96:160] + vk[224:],  # delta is gamma
        vk[:160] + G2_GENERATOR + vk[224:],  # nobody contributed
        vk[:264] + vk[232:264] + vk[296:],  # two points of IC are equal
        bytes(31) + b"\x40" + vk[32:],  # alpha is the identity
        vk[:96] + bytes(63) + b"\x40" + vk[160:],  # gamma is
        vk[:224] + (3).to_bytes(8, "little") + vk[232:328],  # a point too few
        vk[:-32] + bytes([vk[-32] ^ 1]) + vk[-31:],  # most likely off the curve
        vk[:96] + _outside_the_subgroup() + vk[160:],  # gamma is no point of G2
    )
    return tuple(bundle({}, {0: {**ISSUE, "vk": key}}) for key in keys)


G2_GENERATOR = bytes.fromhex(
    "edf692d95cbdde46ddda5ef7d422436779445c5e66006a42761e1f12efde0018"
    "c212f3aeb785e49712e7a9353349aaf1255dfb31b7bf60723a480d9293938e19"
)
UNSAFE = _unsafe()

ZKBTC = Contract(identity_of(NETWORK.grail_outpoint), ZKBTC_BUNDLE.vk)
POOL = Contract(identity_of(outpoint("pool")), POOL_BUNDLE.vk)
OTHER_POOL = Contract(identity_of(outpoint("other pool")), POOL_BUNDLE.vk)
TOKEN = Contract(identity_of(outpoint("token")), TOKEN_BUNDLE.vk)
NEXT_ZKBTC = Contract(label("next"), ZKBTC_BUNDLE.vk)

FIRST = Record(ZKBTC, (Reign(ROSTERS[0], 106),))
SECOND = Record(ZKBTC, (Reign(ROSTERS[0], 106, 411), Reign(ROSTERS[1], 412)))


def guard(contract: Contract, epoch: int = 0) -> bytes:
    """The guarded script of a contract."""
    return addresses.guard(ROSTERS[epoch], contract.gid(NETWORK)).script_pubkey


def escrow(contract: Contract, row: Row, epoch: int = 0) -> bytes:
    """The escrow script that this row rebuilds."""
    eid = addresses.escrow_id(NETWORK, bytes(contract), row.owner_script, row.terms)
    return addresses.escrow(ROSTERS[epoch], eid, row.n, row.user_key).script_pubkey


def pool_state(a: int = 1_000, *, asset: Contract = TOKEN) -> list[Data]:
    """The state of a pool of a token against zkBTC."""
    ids = [app.fe.to_bytes(32, "big") for app in (asset.token, ZKBTC.token)]
    return [0, *ids, a, False]


@dataclass
class Draft:
    """A transaction with its prevouts, as lists that a test may spoil before it asks for a verdict."""

    inputs: list[tuple[OutPoint, Prevout]]
    outs: list[tuple[int, bytes, Mapping[App, Data]]]
    acts: dict[Contract, int] = field(default_factory=dict)
    x: dict[Contract, Inputs] = field(default_factory=dict)
    change: list[TxOut] = field(default_factory=list)
    record: Record = FIRST
    height: int = 150
    confirmed: bool = False
    locktime: int = 0
    network: Network = NETWORK
    bundles: Mapping[bytes, Bundle] = field(default_factory=lambda: BUNDLES)
    witnesses: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    sequences: dict[int, int] = field(default_factory=dict)
    apps: tuple[App, ...] | None = None

    @property
    def spell(self) -> Spell:
        """The spell with a proof of zeros for each act; `apps` overrides what is listed."""
        spent = [app for _, prevout in self.inputs for app in prevout.charms]
        outs = [charms for _, _, charms in self.outs]
        spell = Spell.build(outs, spent=spent, x=self.x, acting=self.acts)
        if self.apps is not None:
            spell = Spell(self.apps, spell.outs, spell.x)
        proofs = sorted((spell.contracts.index(k), action) for k, action in self.acts.items())
        return replace(spell, proofs=tuple(ContractProof(*pair, bytes(128)) for pair in proofs))

    def tx(self) -> Tx:
        """The transaction, its OP_RETURN after the spell's outputs."""
        inputs = tuple(
            TxIn(spent, b"", self.sequences.get(i, 0xFFFFFFFD), self.witnesses.get(i, ()))
            for i, (spent, _) in enumerate(self.inputs)
        )
        outputs = [TxOut(sats, script_) for sats, script_, _ in self.outs]
        outputs += [TxOut(0, self.spell.op_return()), *self.change]
        return Tx(2, inputs, tuple(outputs), self.locktime)

    def check(self, leave_out: Sequence[Rule] = (), **more: Any) -> CheckedTx:
        """The verdict, by all rules but what is left out."""
        return rules.correct(
            self.tx(),
            [prevout for _, prevout in self.inputs],
            self.bundles,
            self.record,
            self.height,
            self.network,
            confirmed=self.confirmed,
            rules=tuple(rule for rule in RULES if rule not in leave_out),
            verify=more.get("verify", yes),
        )


def coin(sats: int, script_: bytes, charms: Mapping[App, Data] | None = None) -> Prevout:
    """A prevout."""
    return Prevout(sats, script_, charms or {})


def deposit_row(index: int = 0, output: int = 1, fee: int = 3_000) -> Row:
    """Bob's deposit."""
    return Row(index, output, person("bob"), (fee,), 1_008, key("bob"))


def deploy() -> Draft:
    """The Grail NFT is made."""
    return Draft(
        [(NETWORK.grail_outpoint, coin(1_000_000, person("alice")))],
        [(10_000, guard(ZKBTC), {ZKBTC.nft: roster_state(ROSTERS[0])})],
        {ZKBTC: 0},
        record=Record(ZKBTC),
        height=100,
    )


def peg_in() -> Draft:
    """Bob's deposit of 500,000 becomes 497,500 units, 1,000 sats carry them, 1,500 are the fee."""
    row = deposit_row()
    return Draft(
        [(outpoint("deposit"), coin(500_000, escrow(ZKBTC, row)))],
        [(497_500, guard(ZKBTC), {}), (1_000, person("bob"), {ZKBTC.token: 497_500})],
        {ZKBTC: 1},
        {ZKBTC: Inputs(rows=(row,))},
    )


def peg_out() -> Draft:
    """100,000 units are burned, the vault gives as many sats."""
    return Draft(
        [
            (outpoint("vault"), coin(497_500, guard(ZKBTC))),
            (outpoint("bob's units"), coin(1_000, person("bob"), {ZKBTC.token: 497_500})),
        ],
        [
            (397_500, guard(ZKBTC), {}),
            (99_000, person("bob"), {}),
            (1_000, person("bob"), {ZKBTC.token: 397_500}),
        ],
        {ZKBTC: 1},
    )


def transfer() -> Draft:
    """Bob gives 400 of 1,000 units to Carol."""
    return Draft(
        [(outpoint("units"), coin(2_000, person("bob"), {TOKEN.token: 1_000}))],
        [
            (900, person("carol"), {TOKEN.token: 400}),
            (900, person("bob"), {TOKEN.token: 600}),
        ],
    )


def issue() -> Draft:
    """A token is made."""
    return Draft(
        [(outpoint("token"), coin(10_000, person("alice")))],
        [(1_000, person("alice"), {TOKEN.token: 10**9})],
        {TOKEN: 0},
        change=[TxOut(8_000, person("alice"))],
    )


def issue_under(bundle: Bundle) -> Draft:
    """A token of this bundle is made."""
    contract = Contract(TOKEN.identity, bundle.vk)
    draft = issue()
    draft.outs = [(1_000, person("alice"), {contract.token: 10**9})]
    draft.acts = {contract: 0}
    draft.bundles = {**BUNDLES, bundle.vk: bundle}
    return draft


def stranger(number: int) -> Contract:
    """Some contract of somebody's, of which nobody here has a bundle."""
    return Contract(label(f"stranger {number}"), label("a vk"))


def create() -> Draft:
    """A pool is made."""
    return Draft(
        [
            (outpoint("pool"), coin(10_000, person("alice"))),
            (
                outpoint("reserves"),
                coin(1_000, person("alice"), {TOKEN.token: 1_000, ZKBTC.token: 2_000}),
            ),
        ],
        [
            (
                1_000,
                guard(POOL),
                {POOL.nft: pool_state(), TOKEN.token: 1_000, ZKBTC.token: 2_000},
            ),
            (1_000, person("alice"), {POOL.token: 900}),
        ],
        {POOL: 0},
    )


def swap(contract: Contract = POOL, action: int = 1) -> Draft:
    """Bob gives 100 units of the token to the pool and takes 180 units of zkBTC."""
    before = {contract.nft: pool_state(1_000), TOKEN.token: 1_000, ZKBTC.token: 2_000}
    after = {contract.nft: pool_state(1_100), TOKEN.token: 1_100, ZKBTC.token: 1_820}
    return Draft(
        [
            (outpoint("port"), coin(1_000, guard(contract), before)),
            (outpoint("bob's"), coin(5_000, person("bob"), {TOKEN.token: 100})),
        ],
        [
            (1_000, guard(contract), after),
            (1_000, person("bob"), {ZKBTC.token: 180}),
        ],
        {contract: action},
        change=[TxOut(2_500, person("bob"))],
    )


def swap_without_an_asset() -> Draft:
    """As above, in a pool whose first asset is a token that nobody here holds: none of it counts."""
    draft = swap()
    states = [pool_state(a, asset=stranger(0)) for a in (1_000, 1_100)]
    draft.inputs[0] = (
        outpoint("port"),
        coin(1_000, guard(POOL), {POOL.nft: states[0], ZKBTC.token: 2_000}),
    )
    draft.inputs[1] = (outpoint("bob's"), coin(5_000, person("bob")))
    draft.outs[0] = (1_000, guard(POOL), {POOL.nft: states[1], ZKBTC.token: 1_820})
    return draft


def batch() -> Draft:
    """Two orders are settled by the pool, at height 150."""
    rows = (
        Row(1, 1, person("bob"), (2_500, 7), 1_008, key("bob")),
        Row(2, 2, person("carol"), (2_500, 8), 1_008, key("carol")),
    )
    draft = swap(action=3)
    draft.inputs[1:] = [
        (outpoint("order 1"), coin(5_000, escrow(POOL, rows[0]), {TOKEN.token: 100})),
        (outpoint("order 2"), coin(5_000, escrow(POOL, rows[1]), {TOKEN.token: 50})),
    ]
    draft.outs[1:] = [
        (3_000, person("bob"), {ZKBTC.token: 180}),
        (3_000, person("carol"), {TOKEN.token: 50}),
    ]
    draft.change = []
    draft.x = {POOL: Inputs(rows=rows)}
    draft.locktime = 150
    return draft


def pay() -> Draft:
    """An action with an argument, a payment and a signer."""
    draft = swap(action=4)
    draft.x = {POOL: Inputs(args=(7,), pays=(1,), signers=(1,))}
    return draft


def new_roster() -> Draft:
    """Epoch 0 hands over to epoch 1."""
    return Draft(
        [
            (
                outpoint("nft"),
                coin(10_000, guard(ZKBTC), {ZKBTC.nft: roster_state(ROSTERS[0])}),
            ),
            (outpoint("fee"), coin(30_000, person("alice"))),
        ],
        [(10_000, guard(ZKBTC, 1), {ZKBTC.nft: roster_state(ROSTERS[1])})],
        {ZKBTC: 2},
        height=406,
    )


def naming() -> Draft:
    """The roster that rules names its successor contract."""
    draft = new_roster()
    state = roster_state(ROSTERS[0], NEXT_ZKBTC.gid(NETWORK), 3_000)
    draft.outs = [(10_000, guard(ZKBTC), {ZKBTC.nft: state})]
    return draft


def move() -> Draft:
    """The vault's output and the pool's port follow to epoch 1; Dan pays."""
    held = {POOL.nft: pool_state(), TOKEN.token: 1_000, ZKBTC.token: 2_000}
    return Draft(
        [
            (outpoint("dan"), coin(30_000, person("dan"))),
            (outpoint("vault"), coin(397_500, guard(ZKBTC))),
            (outpoint("port"), coin(1_000, guard(POOL), held)),
        ],
        [(397_500, guard(ZKBTC, 1), {}), (1_000, guard(POOL, 1), held)],
        record=SECOND,
        height=420,
        change=[TxOut(29_000, person("dan"))],
    )


def succession() -> Draft:
    """50,000 units go over to the next zkBTC, whose own action mints them against the same sats."""
    gid = NEXT_ZKBTC.gid(NETWORK)
    return Draft(
        [
            (outpoint("old vault"), coin(400_000, guard(ZKBTC))),
            (outpoint("units"), coin(3_000, person("bob"), {ZKBTC.token: 60_000})),
            (outpoint("new vault"), coin(200_000, guard(NEXT_ZKBTC))),
        ],
        [
            (350_000, guard(ZKBTC), {}),
            (250_000, guard(NEXT_ZKBTC), {}),
            (1_000, person("bob"), {ZKBTC.token: 10_000, NEXT_ZKBTC.token: 50_000}),
        ],
        {NEXT_ZKBTC: 1},
        record=Record(ZKBTC, (Reign(ROSTERS[0], 106, None, gid, 3_000),)),
        height=3_000,
    )
