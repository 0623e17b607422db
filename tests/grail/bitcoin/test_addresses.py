"""grail.bitcoin.addresses against the protocol's vectors, which a second implementation made."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel import SpendInvalid, verify_spend

from grail.bitcoin import addresses, taproot
from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.tx import Tx, TxIn, sighash, verify_input
from grail.crypto.schnorr import NUMS, KeyPair, tagged_hash
from grail.errors import Incorrect, InvalidInput
from grail.types import OutPoint, Txid, TxOut, XOnlyKey

NETWORK = Network(REGTEST, OutPoint(Txid(bytes(32)), 0))
PAIRS = sorted((KeyPair(bytes([i]) * 32) for i in range(1, 17)), key=lambda pair: pair.public)
KEYS = tuple(pair.public for pair in PAIRS)
USER = KeyPair(b"\x21" * 32)


@pytest.fixture(scope="module")
def published(vectors):
    return json.loads((vectors / "protocol" / "addresses.json").read_text())


@pytest.fixture(scope="module")
def network(published):
    return Network(REGTEST, OutPoint.from_text(published["network"]["grail_outpoint"]))


def roster_of(case):
    keys = [bytes.fromhex(key) for key in case.get("keys_given", case.get("keys_sorted"))]
    return Roster.of(
        case.get("epoch", 0), keys, case["quorum"], bytes.fromhex(case["internal_key"])
    )


def check_output(output, case, leaves):
    assert output.merkle_root.hex() == case["merkle_root"]
    assert output.internal_key.hex() == case["internal_key"]
    assert taproot.tweak(output.internal_key, output.merkle_root).hex() == case["tweak"]
    assert output.output_key.hex() == case["output_key"]
    assert output.parity == case["output_key_parity"]
    assert output.script_pubkey.hex() == case["script_pubkey"]
    assert addresses.to_address(output.script_pubkey, "bcrt") == case["address"]
    assert addresses.from_address(case["address"], "bcrt") == output.script_pubkey
    assert [leaf.name for leaf in output.leaves] == list(leaves)
    for name, letter in leaves.items():
        leaf = output.leaf(name)
        assert leaf.script.hex() == case[f"leaf{letter}"]
        assert leaf.leaf_hash.hex() == case[f"leaf{letter}_hash"]
        assert leaf.control_block.hex() == case[f"control_block_leaf{letter}"]


def test_contract_ids(published, network):
    contracts = published["contracts"]
    assert len(contracts) == 4
    for case in contracts:
        gid = addresses.guard_id(network, bytes.fromhex(case["K"]))
        assert gid.hex() == case["GID"]
        assert gid == tagged_hash("grail/guard", bytes.fromhex(case["GID_preimage"]))


def test_recovery_leaves(published):
    assert len(published["csv"]) == 7
    for case in published["csv"]:
        raw = bytes.fromhex(case["leafR"])
        # The file does not name the key apart: it stands before the last opcode.
        assert addresses.recovery_leaf(case["n"], XOnlyKey(raw[-33:-1])) == raw


def test_rosters(published):
    assert len(published["rosters"]) == 4
    for case in published["rosters"]:
        roster = roster_of(case)
        leaf = addresses.quorum_leaf(roster)
        assert leaf.hex() == case["leafQ"]
        assert taproot.leaf_hash(leaf).hex() == case["leafQ_hash"]


def test_guards(published):
    done = 0
    for case in published["rosters"]:
        for guard in case["guards"]:
            output = addresses.guard(roster_of(case), bytes.fromhex(guard["gid"]))
            check_output(output, guard, {"quorum": "Q", "commitment": "G"})
            done += 1
    assert done == 16


def test_escrows(published, network):
    contracts = {case["name"]: bytes.fromhex(case["K"]) for case in published["contracts"]}
    done = 0
    for case in published["rosters"]:
        for escrow in case["escrows"]:
            eid = addresses.escrow_id(
                network,
                contracts[escrow["contract"]],
                bytes.fromhex(escrow["owner_script"]),
                [int(term) for term in escrow["terms"]],
            )
            assert eid.hex() == escrow["eid"]
            user_key = XOnlyKey.from_hex(escrow["user_key"])
            output = addresses.escrow(roster_of(case), eid, escrow["n"], user_key)
            check_output(output, escrow, {"quorum": "Q", "recovery": "R", "commitment": "E"})
            done += 1
    assert done == 20


def test_the_record_of_the_vectors_holds_sorted_rosters(published):
    for case in published["network"]["record"]:
        roster = roster_of(case)
        assert [key.hex() for key in roster.keys] == case["keys_sorted"]
        assert roster.epoch == case["epoch"]


BAD_ROSTERS = {
    "no keys": (0, (), 1, NUMS),
    "no quorum": (0, KEYS, 0, NUMS),
    "a negative quorum": (0, KEYS, -1, NUMS),
    "more than all": (0, KEYS, 17, NUMS),
    "a key twice": (0, (*KEYS[:1], *KEYS), 12, NUMS),
    "keys out of order": (0, KEYS[::-1], 12, NUMS),
    "a key that is no point": (0, (*KEYS, XOnlyKey(b"\xff" * 32)), 12, NUMS),
    "unset keys": (0, (XOnlyKey(bytes(32)),), 1, NUMS),
    "an internal key that is no point": (0, KEYS, 12, XOnlyKey(bytes(32))),
    "a negative epoch": (-1, KEYS, 12, NUMS),
    "an epoch of 65 bits": (1 << 64, KEYS, 12, NUMS),
    "a key of 33 bytes": (0, (b"\x02" + KEYS[0],), 1, NUMS),
    "a thousand keys": (0, tuple(XOnlyKey(i.to_bytes(32, "big")) for i in range(1000)), 1, NUMS),
}


@pytest.mark.parametrize("parts", BAD_ROSTERS.values(), ids=BAD_ROSTERS)
def test_R3_bad_rosters_are_refused(parts):
    with pytest.raises(InvalidInput):
        Roster(*parts)


def test_R3_a_roster_of_keys_in_any_order():
    assert Roster.of(3, reversed(KEYS), 12) == Roster(3, KEYS, 12, NUMS)
    with pytest.raises(InvalidInput):
        Roster.of(3, [*KEYS, KEYS[0]], 12)
    with pytest.raises(InvalidInput):
        Roster.of(3, [bytes(31)], 1)


@pytest.mark.parametrize("n", [-1, 0, 143, 65_536, 1 << 31])
def test_S20_recovery_delays_out_of_range(n):
    with pytest.raises(InvalidInput, match="recovery"):
        addresses.recovery_leaf(n, USER.public)


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32])
def test_S20_recovery_keys_off_the_curve(key):
    with pytest.raises(InvalidInput, match="curve"):
        addresses.recovery_leaf(1008, XOnlyKey(key))


@pytest.mark.parametrize("terms", [[], [0] * 9, [-1], [1 << 64], [True], [1.0]])
def test_bad_terms(terms):
    with pytest.raises(InvalidInput, match="term"):
        addresses.escrow_id(NETWORK, bytes(64), b"\x51", terms)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_a_contract_is_64_bytes(size):
    with pytest.raises(InvalidInput, match="contract"):
        addresses.guard_id(NETWORK, bytes(size))
    with pytest.raises(InvalidInput, match="contract"):
        addresses.escrow_id(NETWORK, bytes(size), b"\x51", [0])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_commitment_is_32_bytes(size):
    with pytest.raises(InvalidInput, match="commitment"):
        addresses.commitment_leaf(bytes(size))


def test_every_part_of_an_escrow_counts():
    ids = {
        addresses.escrow_id(NETWORK, bytes(64), b"\x51", [1]),
        addresses.escrow_id(NETWORK, b"\x01" + bytes(63), b"\x51", [1]),
        addresses.escrow_id(NETWORK, bytes(64), b"\x52", [1]),
        addresses.escrow_id(NETWORK, bytes(64), b"\x51", [2]),
        addresses.escrow_id(NETWORK, bytes(64), b"\x51", [1, 0]),
        addresses.escrow_id(
            Network(REGTEST, OutPoint(Txid(bytes(32)), 1)), bytes(64), b"\x51", [1]
        ),
    }
    assert len(ids) == 6


def spend(output, sequence=0xFFFFFFFD, version=2):
    """A transaction that spends such an output, and the output as its prevout."""
    prevout = TxOut(100_000, output.script_pubkey)
    tx = Tx(
        version,
        (TxIn(OutPoint(Txid(b"\x07" * 32), 1), sequence=sequence),),
        (TxOut(99_000, b"\x51\x20" + NUMS),),
    )
    return tx, [prevout]


def check_spend(tx, prevouts):
    """By both engines: libbitcoinkernel in the tests, libbitcoinconsensus as hosts run it."""
    verify_spend(tx.serialize(), prevouts)
    for index in range(len(tx.inputs)):
        verify_input(tx, prevouts, index)


def check_refused(tx, prevouts):
    with pytest.raises(SpendInvalid):
        verify_spend(tx.serialize(), prevouts)
    with pytest.raises(Incorrect):
        verify_input(tx, prevouts, 0)


def sign(tx, prevouts, leaf, pairs):
    digest = sighash(tx, prevouts, 0, leaf_hash=leaf.leaf_hash)
    return {pair.public: pair.sign(digest) for pair in pairs}


@pytest.mark.parametrize("make", ["guard", "escrow"])
def test_the_quorum_spends(make):
    roster = Roster(0, KEYS, 12, NUMS)
    if make == "guard":
        output = addresses.guard(roster, bytes(32))
    else:
        output = addresses.escrow(roster, bytes(32), 1008, USER.public)
    leaf = output.leaf(addresses.QUORUM)
    tx, prevouts = spend(output)
    signatures = sign(tx, prevouts, leaf, PAIRS)
    for chosen in (KEYS[:12], KEYS[4:], KEYS[::2] + KEYS[1:8:2], KEYS):
        given_now = {key: signatures[key] for key in chosen}
        witness = addresses.quorum_witness(roster, leaf, given_now)
        assert sum(1 for item in witness[:-2] if item) == 12
        check_spend(tx.with_witness(0, witness), prevouts)
    # Eleven, thirteen, one of a stranger, or one for another output: refused by the chain too.
    good = addresses.quorum_witness(roster, leaf, signatures)
    check_refused(tx.with_witness(0, (*good[:4], b"", *good[5:])), prevouts)
    check_refused(tx.with_witness(0, (signatures[KEYS[-1]], *good[1:])), prevouts)
    swapped = list(good)
    swapped[14], swapped[15] = good[15], good[14]
    check_refused(tx.with_witness(0, swapped), prevouts)
    check_refused(tx.with_witness(0, good), [TxOut(100_001, output.script_pubkey)])


def test_every_pair_of_three_spends():
    roster = Roster(7, KEYS[:3], 2, NUMS)
    output = addresses.guard(roster, b"\x07" * 32)
    leaf = output.leaf(addresses.QUORUM)
    tx, prevouts = spend(output)
    for pairs in combinations(PAIRS[:3], 2):
        witness = addresses.quorum_witness(roster, leaf, sign(tx, prevouts, leaf, pairs))
        check_spend(tx.with_witness(0, witness), prevouts)


def test_one_of_one_and_seventeen_of_twenty():
    """The form is the same for one key, and above 16 the quorum is a push of a number."""
    many = sorted((KeyPair(bytes([i]) * 32) for i in range(40, 60)), key=lambda pair: pair.public)
    for pairs, quorum in ((PAIRS[:1], 1), (many, 17)):
        roster = Roster(0, tuple(pair.public for pair in pairs), quorum, NUMS)
        output = addresses.guard(roster, bytes(32))
        leaf = output.leaf(addresses.QUORUM)
        tx, prevouts = spend(output)
        witness = addresses.quorum_witness(roster, leaf, sign(tx, prevouts, leaf, pairs))
        check_spend(tx.with_witness(0, witness), prevouts)


@pytest.mark.parametrize("n", [144, 1008, 65_535])
def test_the_owner_recovers_after_n_blocks(n):
    output = addresses.escrow(Roster(0, KEYS, 12, NUMS), bytes(32), n, USER.public)
    leaf = output.leaf(addresses.RECOVERY)
    for sequence, version, good in (
        (n, 2, True),
        (n - 1, 2, False),
        (n, 1, False),
        (0xFFFFFFFD, 2, False),
    ):
        tx, prevouts = spend(output, sequence, version)
        (signature,) = sign(tx, prevouts, leaf, [USER]).values()
        signed = tx.with_witness(0, leaf.witness([signature]))
        (check_spend if good else check_refused)(signed, prevouts)
        if good:
            (other,) = sign(tx, prevouts, leaf, PAIRS[:1]).values()
            check_refused(tx.with_witness(0, leaf.witness([other])), prevouts)


def test_nobody_spends_by_the_commitment():
    output = addresses.guard(Roster(0, KEYS, 12, NUMS), bytes(32))
    leaf = output.leaf(addresses.COMMITMENT)
    tx, prevouts = spend(output)
    for stack in ([], [b"\x01"], list(sign(tx, prevouts, leaf, PAIRS).values())):
        check_refused(tx.with_witness(0, leaf.witness(stack)), prevouts)


def test_an_internal_key_that_somebody_holds_spends_by_the_key_path():
    from grail.bitcoin.tx import sign_key_path

    roster = Roster(0, KEYS, 12, USER.public)
    output = addresses.guard(roster, bytes(32))
    tx, prevouts = spend(output)
    check_spend(sign_key_path(tx, prevouts, 0, USER, merkle_root=output.merkle_root), prevouts)


BAD_SIGNATURES = {
    "eleven": {key: bytes(64) for key in KEYS[:11]},
    "none": {},
    "a stranger's": {**{key: bytes(64) for key in KEYS[:12]}, USER.public: bytes(64)},
    "one of 65 bytes": {**{key: bytes(64) for key in KEYS[:12]}, KEYS[0]: bytes(65)},
    "an empty one": {**{key: bytes(64) for key in KEYS[:12]}, KEYS[0]: b""},
}


@pytest.mark.parametrize("signatures", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_bad_signatures_make_no_witness(signatures):
    roster = Roster(0, KEYS, 12, NUMS)
    leaf = addresses.guard(roster, bytes(32)).leaf(addresses.QUORUM)
    with pytest.raises(InvalidInput, match="quorum"):
        addresses.quorum_witness(roster, leaf, signatures)


@pytest.mark.parametrize(
    ("script", "hrp", "text"),
    [
        ("0014751e76e8199196d454941c45d1b3a323f1433bd6", "bc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("0014751e76e8199196d454941c45d1b3a323f1433bd6", "tb", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
        ("76a914" + "00" * 20 + "88ac", "bc", "1111111111111111111114oLvT2"),
        ("a914" + "00" * 20 + "87", "bc", "31h1vYVSYuKP6AhS86fbRdMw9XHieotbST"),
    ],
)  # fmt: skip
def test_known_addresses(script, hrp, text):
    assert addresses.to_address(bytes.fromhex(script), hrp) == text
    assert addresses.from_address(text, hrp).hex() == script


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bcrt1",
        "hello",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bcrt1pkmpp4jmc8sqqvsn86ryee6ahmsd3c4g6t8j3mwvj2nwswk5c9y6s69zwzn",
        "bcrt1pkmpp4jmc8sqqvsn86ryee6ahmsd3c4g6t8j3mwvj2nwswk5c9y6s69zwzM",
        "1111111111111111111114oLvT2",
        "31h1vYVSYuKP6AhS86fbRdMw9XHieotbST",
        "b\u0441rt1pkmpp4jmc8sqqvsn86ryee6ahmsd3c4g6t8j3mwvj2nwswk5c9y6s69zwzm",
        "x" * 100_000,
    ],
)
def test_what_is_no_regtest_address(text):
    with pytest.raises(InvalidInput):
        addresses.from_address(text, "bcrt")


@pytest.mark.parametrize("script", [b"", b"\x6a", b"\x51", b"\x21\x02" + bytes(32) + b"\xac"])
def test_scripts_without_an_address(script):
    with pytest.raises(InvalidInput):
        addresses.to_address(script, "bcrt")


@pytest.mark.parametrize("hrp", ["", "BC", "ltc", "bc1"])
def test_unknown_chains(hrp):
    with pytest.raises(InvalidInput, match="prefix"):
        addresses.to_address(b"\x51\x20" + NUMS, hrp)


@given(st.text(max_size=90))
def test_any_text_is_refused_or_read(text):
    try:
        script = addresses.from_address(text, "bcrt")
    except InvalidInput:
        return
    assert addresses.to_address(script, "bcrt").lower() == text.lower()
