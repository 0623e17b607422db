"""The configuration: one form, one digest, and every field in it."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from made_chain import MadeChain

from grail.bitcoin.network import MAINNET, REGTEST, Network
from grail.bitcoin.spv import PinnedHeader
from grail.charms.app import identity_of
from grail.errors import DecodeError, InvalidInput, NotCanonical
from grail.operators.attesting import Attesting
from grail.operators.configuration import SIGNING_RULES, Configuration
from grail.types import OutPoint, Txid

OUTPOINT = OutPoint(Txid(bytes(range(32))), 3)
IMAGE = (bytes([1]) * 48, bytes([2]) * 48, bytes([3]) * 48)
ATTESTING = Attesting(bytes([9]) * 32, (IMAGE,))


def configuration() -> Configuration:
    return Configuration(Network(REGTEST, OUTPOINT), MadeChain().pinned, bytes(32))


def test_text_form_is_read_back() -> None:
    made = configuration()
    again = Configuration.from_json(made.to_json())
    assert again == made
    assert again.digest == made.digest
    assert again.zkbtc == identity_of(OUTPOINT) + made.zkbtc_vk


def test_attesting_is_read_back() -> None:
    made = replace(configuration(), attesting=ATTESTING)
    assert Configuration.from_json(made.to_json()) == made


ATTESTINGS = {
    "root": bytes([8]) * 32,
    "images": (IMAGE, (bytes([2]) * 48, *IMAGE[1:])),
    "fresh_seconds": 61,
    "reattest_seconds": 3_601,
    "silent_seconds": 601,
    "churn": 5,
    "per_owner": 5,
    "per_account": 5,
    "per_zone": 5,
}


@pytest.mark.parametrize("name", [field.name for field in fields(Attesting)])
def test_A13_A16_every_setting_of_attestation_changes_the_digest(name: str) -> None:
    made = replace(configuration(), attesting=ATTESTING)
    other = replace(ATTESTING, **{name: ATTESTINGS[name]})
    assert replace(made, attesting=other).digest != made.digest


@pytest.mark.parametrize(
    "change",
    [
        {"root": bytes(31)},
        {"images": ()},
        {"images": (IMAGE, IMAGE)},
        {"images": (IMAGE[:2],)},
        {"images": ((bytes(48), *IMAGE[1:]),)},
        {"images": ((bytes(47), *IMAGE[1:]),)},
        {"fresh_seconds": 0},
        {"reattest_seconds": 0},
        {"silent_seconds": 59},
        {"images": tuple(sorted((bytes([each + 1]) * 48, *IMAGE[1:]) for each in range(17)))},
        {"churn": -1},
    ],
)
def test_A2_attesting_that_cannot_be_meant(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        replace(ATTESTING, **change)


CHANGES = {
    "network": Network(REGTEST, OUTPOINT, k=7),
    "pinned": MadeChain(start=2016).pinned,
    "zkbtc_vk": bytes(31) + b"\x01",
    "operators": 15,
    "quorum": 13,
    "min_fee_rate": 2,
    "max_fee_rate": 999,
    "max_fee": 9_999_999,
    "recovery_margin": 37,
    "max_ancestors": 63,
    "max_unconfirmed": 19,
    "header_lag": 3,
    "void_depth": 2,
    "single_party": True,
    "successor": bytes([7]) * 32,
    "attesting": ATTESTING,
    "rules": SIGNING_RULES[1:],
}


@pytest.mark.parametrize("name", [field.name for field in fields(Configuration)])
def test_A13_every_setting_changes_the_digest(name: str) -> None:
    """An enclave started with another policy shows another digest; no field is left out."""
    made = configuration()
    assert replace(made, **{name: CHANGES[name]}).digest != made.digest


@pytest.mark.parametrize(
    "network",
    [
        Network(MAINNET, OUTPOINT),
        Network(REGTEST, replace(OUTPOINT, vout=4)),
        Network(REGTEST, OUTPOINT, staleness=7),
        Network(replace(REGTEST, no_retarget=False), OUTPOINT),
        Network(replace(REGTEST, retarget_interval=2015), OUTPOINT),
    ],
)
def test_A13_every_parameter_of_the_network_changes_the_digest(network: Network) -> None:
    made = configuration()
    assert replace(made, network=network).digest != made.digest


@pytest.mark.parametrize(
    "change",
    [
        {"quorum": 0},
        {"quorum": 17},
        {"quorum": 10},
        {"zkbtc_vk": bytes(31)},
        {"min_fee_rate": 0},
        {"max_fee_rate": 0},
        {"max_fee": 0},
        {"recovery_margin": 0},
        {"void_depth": 0},
        {"max_unconfirmed": 65},
        {"header_lag": -1},
        {"network": Network(REGTEST, OUTPOINT, k=0)},
    ],
)
def test_R3_numbers_that_cannot_be_meant(change: dict[str, object]) -> None:
    """Quorum 0, above n, or too small for the fast ballot (3q > 2n); caps of zero."""
    with pytest.raises(InvalidInput):
        replace(configuration(), **change)


def edited(**changes: object) -> str:
    value = {**json.loads(configuration().to_json()), **changes}
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        edited(quorum=12.0),
        edited(quorum=True),
        edited(quorum="12"),
        edited(quorum=-1),
        edited(quorum=1e400),
        edited(extra=1),
        edited(chain=None),
        edited(format="grail/configuration/2"),
        edited(zkbtc_vk="zz"),
        edited(rules="PsbtInvalid"),
        edited(rules=[1]),
        edited(single_party=0),
        edited(attesting=[]),
        edited(attesting={}),
        edited(attesting={"root": "00" * 32, "images": [1]}),
        edited(attesting={"root": "00" * 32, "images": [[1]]}),
        edited(attesting={"root": "00" * 32, "images": [["zz"]]}),
        edited(pinned={"height": 0, "header": "00" * 79}),
        edited(grail_outpoint="00:0"),
        configuration().to_json().replace('"quorum": 12', '"quorum": NaN'),
    ],
)
def test_A13_files_that_are_none(text: str) -> None:
    """Unknown, missing, mistyped fields: refused with a typed error, never taken by default."""
    with pytest.raises(InvalidInput):
        Configuration.from_json(text)


def test_A13_missing_fields() -> None:
    whole = json.loads(configuration().to_json())
    for name in whole:
        less = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(DecodeError, match=name):
            Configuration.from_json(json.dumps(less, indent=2, sort_keys=True) + "\n")


def test_A13_one_form_only() -> None:
    """The same settings written in another way are refused: one policy, one text."""
    text = configuration().to_json()
    doubled = text.replace('"quorum": 12', '"quorum": 13,\n  "quorum": 12')
    for other in (text + " ", text.replace("  ", "\t"), json.dumps(json.loads(text)), doubled):
        with pytest.raises(NotCanonical):
            Configuration.from_json(other)


def test_pinned_header_stands_in_the_file() -> None:
    made = configuration()
    pinned = PinnedHeader(0, made.pinned.header)
    assert replace(made, pinned=pinned).digest == made.digest
