"""Each check of a document: one thing is wrong, and that check's own rule refuses it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from forged_documents import LEVELS, NOW, PCRS, Forger, Level, chain, fields, joined
from odd_certificates import with_explicit_curve, with_serial

from grail.attestation.attested import EMULATED, Attested, attested
from grail.attestation.chain import AWS, Root
from grail.attestation.cose import ORDER, PROTECTED
from grail.attestation.form import MAX_DOCUMENT
from grail.codec import encode
from grail.errors import AttestationInvalid
from grail_devnet.nsm.authority import CA_USAGE, LEAF_USAGE, draw_key
from grail_devnet.nsm.module import indefinite, sign

FORGER = Forger()
Make = Callable[[Forger], bytes]


def refused(rule: str, raw: bytes, root: Root = FORGER.root) -> AttestationInvalid:
    with pytest.raises(AttestationInvalid) as caught:
        attested(raw, root)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def test_what_is_changed_below_is_right_without_the_change() -> None:
    for raw in (FORGER.document(), FORGER.message(), FORGER.pieced(joined)):
        found = attested(raw, FORGER.root)
        assert isinstance(found, Attested)
        assert (found.time, found.debug, found.kind) == (NOW, False, EMULATED)
        assert dict(found.pcrs) == PCRS
        assert found.chain == tuple(f"{name} level" for name in LEVELS)


def test_A10_the_outermost_map_may_be_indefinite() -> None:
    payload = encode(fields(FORGER.ders), any_order=True)
    assert attested(FORGER.signed(indefinite(payload)), FORGER.root).pcrs == PCRS


def test_optional_fields_may_be_left_out() -> None:
    bare = FORGER.document(public_key=..., user_data=..., nonce=...)
    found = attested(bare, FORGER.root)
    assert (found.public_key, found.user_data, found.nonce) == (None, None, None)


# --- A10: the form ---


def replaced(name: str, value: bytes) -> Make:
    """The encoded value of a field replaced."""

    def make(forger: Forger) -> bytes:
        return forger.pieced(
            lambda parts: joined([(k, value if k == encode(name) else v) for k, v in parts])
        )

    return make


def open_ended(value: Any) -> bytes:
    """A string, array or map in indefinite form."""
    if isinstance(value, dict):
        inside = b"".join(encode(k) + encode(v) for k, v in value.items())
        return b"\xbf" + inside + b"\xff"
    if isinstance(value, list):
        return b"\x9f" + b"".join(encode(each) for each in value) + b"\xff"
    return (b"\x5f" if isinstance(value, bytes) else b"\x7f") + encode(value) + b"\xff"


def open_array(forger: Forger) -> bytes:
    return b"\x9f" + forger.document()[1:] + b"\xff"


def open_payload(forger: Forger) -> bytes:
    payload = encode(fields(forger.ders), any_order=True)
    signature = forger.signed(payload)[-96:]
    parts = [encode(PROTECTED), encode({}), open_ended(payload), encode(signature)]
    return b"\x84" + b"".join(parts)


def twice(name: str) -> Make:
    def make(forger: Forger) -> bytes:
        return forger.pieced(lambda parts: joined([*parts, (encode(name), encode(None))]))

    return make


def pcr_twice(forger: Forger) -> bytes:
    parts = [(encode(i), encode(pcr)) for i, pcr in PCRS.items()]
    pcrs = joined([*parts[:-1], parts[0]], bytes([0xA0 + len(parts)]))
    return replaced("pcrs", b"\xb0" + pcrs[1:])(forger)


FORMS: dict[str, tuple[Make, str]] = {
    "a byte after the message": (lambda f: f.document() + b"\x00", "CborTrailing"),
    "a byte after the payload": (
        lambda f: f.pieced(lambda p: joined(p, end=b"\x00")),
        "CborTrailing",
    ),
    "cut short": (lambda f: f.document()[:-1], "CborTruncated"),
    "nothing": (lambda _: b"", "CborTruncated"),
    "too long": (lambda f: f.document() + bytes(MAX_DOCUMENT), "CborOversized"),
    "a field twice": (twice("nonce"), "CborDuplicate"),
    "a PCR twice": (pcr_twice, "CborDuplicate"),
    "an indefinite message": (open_array, "CborIndefinite"),
    "an indefinite payload string": (open_payload, "CborIndefinite"),
    "indefinite PCRs": (replaced("pcrs", open_ended(PCRS)), "CborIndefinite"),
    "an indefinite bundle": (replaced("cabundle", open_ended(FORGER.ders[:-1])), "CborIndefinite"),
    "indefinite bytes": (replaced("nonce", open_ended(bytes(32))), "CborIndefinite"),
    "an indefinite text": (replaced("digest", open_ended("SHA384")), "CborIndefinite"),
    "an indefinite map without its end": (
        lambda f: f.pieced(lambda p: joined(p, b"\xbf")),
        "CborTruncated",
    ),
    "an indefinite map of eight": (
        lambda f: f.pieced(lambda p: joined(p[:-1], b"\xbf", b"\xff")),
        "CborTruncated",
    ),
    "a number in more bytes than it needs": (
        replaced("timestamp", b"\x1b" + bytes(7) + b"\x17"),
        "CborForm",
    ),
    "a length in more bytes than it needs": (replaced("nonce", b"\x59\x00\x01x"), "CborForm"),
    "deeper than a document is": (replaced("nonce", encode([[[[[]]]]])), "CborNested"),
    "a tag": (replaced("timestamp", b"\xc1\x01"), "CborMalformed"),
    "a number with a fraction": (
        replaced("timestamp", b"\xfb\x3f\xf0" + bytes(6)),
        "CborMalformed",
    ),
    "a text that is none": (replaced("module_id", b"\x61\xff"), "CborMalformed"),
    "a payload that is no map": (lambda f: f.signed(encode(["a"])), "FieldType"),
}


@pytest.mark.parametrize("name", FORMS)
def test_A10_hostile_cbor(name: str) -> None:
    make, rule = FORMS[name]
    refused(rule, make(FORGER))


# --- A8, A9: the envelope ---

HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "ES256": ({"protected": encode({1: -7})}, "CoseAlgorithm"),
    "EdDSA": ({"protected": encode({1: -8})}, "CoseAlgorithm"),
    "none": ({"protected": b""}, "CoseAlgorithm"),
    "more than the algorithm": ({"protected": encode({1: -35, 2: [1]})}, "CoseAlgorithm"),
    "the algorithm in another form": ({"protected": bytes.fromhex("a101390022")}, "CoseAlgorithm"),
    "the algorithm unsigned": ({"protected": b"", "unprotected": {1: -35}}, "CoseUnprotected"),
    "a key id unsigned": ({"unprotected": {4: b"key"}}, "CoseUnprotected"),
    "a header that is no bytes": ({"protected": {1: -35}}, "CoseShape"),
    "a header that is no map": ({"unprotected": b""}, "CoseShape"),
    "a detached payload": ({"payload": None}, "CosePayload"),
    "an empty payload": ({"payload": b""}, "CosePayload"),
    "a fifth part": ({"more": None}, "CoseShape"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_A8_header_games(name: str) -> None:
    changes, rule = HEADERS[name]
    refused(rule, FORGER.message(**changes))


@pytest.mark.parametrize("head", ["d2", "d8629f"])
def test_A8_a_tagged_message(head: str) -> None:
    refused("CoseTagged", bytes.fromhex(head) + FORGER.document())


def scalars(r: int, s: int) -> bytes:
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


SIGNATURES: dict[str, Any] = {
    "zeros": bytes(96),
    "r of zero": scalars(0, 1),
    "s of zero": scalars(1, 0),
    "r of n": scalars(ORDER, 1),
    "s of n": scalars(1, ORDER),
    "ones": b"\xff" * 96,
    "a byte short": bytes(95),
    "a byte long": bytes(97),
    "s of 47 bytes, in its range": b"\x01" * 95,
    "s of 49 bytes, in its range": b"\x01" * 48 + b"\x00" + b"\x01" * 48,
    "of P-256": bytes(64),
    "nothing": b"",
    "null": None,
    "DER": draw_key().sign(b"", ec.ECDSA(SHA256())),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_A9_signatures_of_another_form(name: str) -> None:
    refused("CoseSignature", FORGER.message(signature=SIGNATURES[name]))


def test_A9_a_signature_of_another_key_or_other_bytes() -> None:
    payload = encode(fields(FORGER.ders), any_order=True)
    refused("SignatureWrong", sign(payload, draw_key()))
    refused("SignatureWrong", FORGER.message(signature=scalars(1, 1)))
    other = encode(fields(FORGER.ders, user_data=b"other"), any_order=True)
    refused("SignatureWrong", FORGER.message(payload=other))


# --- A2, A3, A6: the fields ---

NEEDED = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")


@pytest.mark.parametrize("name", NEEDED)
def test_A6_a_field_that_must_be_there(name: str) -> None:
    for nothing in (..., None):
        assert name in str(refused("FieldMissing", FORGER.document(**{name: nothing})))


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "one that is not known": ({"pcr": b""}, "FieldUnknown"),
    "another digest": ({"digest": "SHA256"}, "FieldDigest"),
    "a time of zero": ({"timestamp": 0}, "FieldType"),
    "a time before 1970": ({"timestamp": -1}, "FieldType"),
    "a time beyond calendars": ({"timestamp": 1 << 63}, "FieldType"),
    "a time that is true": ({"timestamp": True}, "FieldType"),
    "an empty name": ({"module_id": ""}, "FieldType"),
    "a long name": ({"module_id": "i" * 129}, "FieldType"),
    "a name in bytes": ({"module_id": b"i"}, "FieldType"),
    "an empty bundle": ({"cabundle": []}, "FieldType"),
    "a bundle of nine": ({"cabundle": FORGER.ders[:1] * 9}, "FieldType"),
    "a bundle of texts": ({"cabundle": ["x"]}, "FieldType"),
    "an empty certificate": ({"certificate": b""}, "FieldSize"),
    "a long certificate": ({"certificate": bytes(1_025)}, "FieldSize"),
    "a nonce of text": ({"nonce": "x"}, "FieldType"),
    "a nonce of 1,025 bytes": ({"nonce": bytes(1_025)}, "FieldSize"),
    "user_data of 1,025 bytes": ({"user_data": bytes(1_025)}, "FieldSize"),
    "a public key of 1,025 bytes": ({"public_key": bytes(1_025)}, "FieldSize"),
    "no PCRs": ({"pcrs": {}}, "FieldType"),
    "PCRs in a list": ({"pcrs": [bytes(48)]}, "FieldType"),
    "33 PCRs": ({"pcrs": {index: bytes(48) for index in range(33)}}, "FieldType"),
    "PCR32": ({"pcrs": PCRS | {32: bytes(48)}}, "FieldType"),
    "a PCR by its name": ({"pcrs": PCRS | {"3": bytes(48)}}, "FieldType"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_A6_fields_of_another_type_or_size(name: str) -> None:
    changes, rule = FIELDS[name]
    refused(rule, FORGER.document(**changes))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_A2_a_pcr_that_is_missing_short_or_long(index: int) -> None:
    rest = {i: pcr for i, pcr in PCRS.items() if i != index}
    assert f"PCR{index}" in str(refused("PcrMissing", FORGER.document(pcrs=rest)))
    for wrong in (b"", PCRS[index][:47], PCRS[index] + b"\x00", PCRS[index][:32], None):
        refused("PcrSize", FORGER.document(pcrs=rest | {index: wrong}))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_A3_a_zero_pcr_is_debug_mode(index: int) -> None:
    raw = FORGER.document(pcrs=PCRS | {index: bytes(48)})
    refused("DebugMode", raw)
    assert attested(raw, FORGER.root, allow_debug=True).debug


# --- A1, A7: the chain ---


def refused_chain(rule: str, levels: tuple[str, ...] = LEVELS, **changes: Level) -> None:
    """A chain with these certificates changed, pinned at its own root."""
    forger = Forger(
        chain({name.replace("_", "/"): level for name, level in changes.items()}, levels)
    )
    refused(rule, forger.document(), forger.root)


def test_A1_a_look_alike_root() -> None:
    """Equal names, equal everything but the key."""
    other = Forger()
    assert other.made.certificates[0].subject == FORGER.made.certificates[0].subject
    refused("RootUnknown", other.document())
    mixed = [FORGER.ders[0], *other.ders[1:]]
    raw = other.signed(encode(fields(mixed), any_order=True))
    refused("ChainOrder", raw)  # the region names the other root's key


def test_A1_A17_a_devnets_root_where_aws_is_pinned() -> None:
    refused("RootUnknown", FORGER.document(), AWS)


def test_A1_signed_by_another_key_of_the_same_name() -> None:
    other = draw_key()
    for name in LEVELS[1:]:
        refused_chain("ChainSignature", **{name: Level(signer=other)})


def test_A7_broken_or_reordered() -> None:
    ders, leaf = FORGER.ders[:-1], FORGER.ders[-1]
    root, region, zone, instance = ders
    orders = {
        "reordered": [root, zone, region, instance],
        "leaf first": [root, instance, zone, region],
        "without the zone": [root, region, instance],
        "the root alone": [root],
        "another's instance": [root, region, zone, chain().ders[3]],
    }
    for bundle in ([root, region, zone, zone, instance], [root, *FORGER.ders[:4]]):
        raw = FORGER.signed(encode(fields([*bundle, leaf]), any_order=True))
        refused("ChainOrder" if bundle[1] == root else "PathLength", raw)
    for bundle in orders.values():
        raw = FORGER.signed(encode(fields([*bundle, leaf]), any_order=True))
        refused("ChainOrder", raw)
    for bundle in ([region, zone, instance], [instance, zone, region, root]):
        raw = FORGER.signed(encode(fields([*bundle, leaf]), any_order=True))
        refused("RootUnknown", raw)


def test_A7_another_authoritys_key_id() -> None:
    for name in LEVELS[1:]:
        refused_chain("ChainOrder", **{name: Level(authority_id=bytes(20))})


@pytest.mark.parametrize("name", LEVELS)
def test_A7_A11_not_valid_at_the_documents_time(name: str) -> None:
    """The document's own time counts, to the second, and no clock of the verifier's."""
    second = timedelta(seconds=1)
    refused_chain("CertificateTime", **{name: Level(last=NOW - second)})
    refused_chain("CertificateTime", **{name: Level(first=NOW + second)})
    forger = Forger(chain({name: Level(first=NOW, last=NOW)}))
    attested(forger.document(), forger.root)
    for milliseconds in (-1, 1):
        moment = int(NOW.timestamp() * 1000) + milliseconds
        refused("CertificateTime", forger.document(timestamp=moment), forger.root)
    attested(forger.document(timestamp=int(NOW.timestamp() * 1000)), forger.root)


def test_A7_authorities_and_leaves() -> None:
    no = x509.BasicConstraints(ca=False, path_length=None)
    for name in LEVELS[:-1]:
        refused_chain("CertificateAuthority", **{name: Level(constraints=no)})
        refused_chain("CertificateAuthority", **{name: Level(constraints=None)})
    yes = x509.BasicConstraints(ca=True, path_length=None)
    refused_chain("CertificateAuthority", leaf=Level(constraints=yes))
    refused_chain("CertificateAuthority", leaf=Level(constraints=None))


def test_A7_a_leaf_that_signs_another() -> None:
    anything = Level(constraints=x509.BasicConstraints(ca=True, path_length=None))
    above = {"region": anything, "zone": anything, "instance": anything}
    refused_chain("CertificateAuthority", (*LEVELS, "leaf/2"), **above)


@pytest.mark.parametrize(("name", "length"), [("root", 2), ("region", 1), ("zone", 0)])
def test_A7_path_length(name: str, length: int) -> None:
    short = x509.BasicConstraints(ca=True, path_length=length)
    refused_chain("PathLength", **{name: Level(constraints=short)})
    longer = x509.BasicConstraints(ca=True, path_length=length + 1)
    forger = Forger(chain({name: Level(constraints=longer)}))
    attested(forger.document(), forger.root)


def test_A7_an_authority_below_an_instance() -> None:
    refused_chain("PathLength", ("root", "region", "zone", "instance", "instance/2", "leaf"))


def test_A7_key_usage() -> None:
    signs_documents = frozenset({"digital_signature", "crl_sign"})
    for name in LEVELS[:-1]:
        refused_chain("KeyUsage", **{name: Level(usage=signs_documents)})
        refused_chain("KeyUsage", **{name: Level(usage=None)})
    for wrong in (CA_USAGE, frozenset({"content_commitment"}), None):
        refused_chain("KeyUsage", leaf=Level(usage=wrong))
    refused_chain("KeyUsage", leaf=Level(usage=LEAF_USAGE | {"key_cert_sign"}))


def test_A7_a_critical_extension_that_nobody_here_knows() -> None:
    extra = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    limits = x509.NameConstraints([x509.DNSName("example.org")], None)
    for name in LEVELS:
        refused_chain("CertificateExtension", **{name: Level(extra=extra)})
    refused_chain("CertificateExtension", region=Level(extra=limits))


def test_A7_keys_of_another_kind() -> None:
    rsa_key = rsa.generate_private_key(65_537, 2_048)
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa_key,
    ):
        refused("CertificateKey", _leaf_of(key))
    forger = Forger(chain({"zone": Level(key=ec.generate_private_key(ec.SECP256R1()))}))
    refused("CertificateKey", forger.document(), forger.root)


def _leaf_of(key: Any) -> bytes:
    """A document whose leaf holds this key; who signs it does not matter."""
    made = chain({"leaf": Level(key=key)})
    raw = FORGER.signed(encode(fields([*FORGER.ders[:-1], made.ders[-1]]), any_order=True))
    assert isinstance(raw, bytes)
    return raw


def test_A7_a_curve_by_its_parameters() -> None:
    """CurveBall's way in: the leaf spells P-384 out, and is signed as it should be."""
    leaf = with_explicit_curve(FORGER.made.certificates[-1], FORGER.made.keys[-2])
    with pytest.raises(AttestationInvalid) as caught:
        attested(
            FORGER.signed(encode(fields([*FORGER.ders[:-1], leaf]), any_order=True)), FORGER.root
        )
    assert caught.value.rule in {"CertificateKey", "CertificateForm"}


@pytest.mark.parametrize("serial", [b"\x00", b"\xff"], ids=["zero", "negative"])
@pytest.mark.parametrize("warned", ["ignore", "error"])
def test_A7_a_serial_number_that_is_not_positive(
    serial: bytes, warned: Literal["ignore", "error"]
) -> None:
    """RFC 5280, section 4.1.2.2. The library warns only, and an error is what some make of it."""
    leaf = with_serial(FORGER.made.certificates[-1], FORGER.made.keys[-2], serial)
    with warnings.catch_warnings():
        warnings.simplefilter(warned)
        refused("CertificateForm", FORGER.document(certificate=leaf))


def test_A7_signed_with_another_hash() -> None:
    for name in LEVELS[1:]:
        refused_chain("CertificateAlgorithm", **{name: Level(algorithm=SHA256())})


def test_A7_what_is_no_certificate() -> None:
    for wrong in (b"x", FORGER.ders[-1] + b"\x00", FORGER.ders[-1][:-1]):
        refused("CertificateForm", FORGER.document(certificate=wrong))
    root, region, zone, instance, _leaf = FORGER.ders
    raw = FORGER.document(cabundle=[root, region, zone + b"\x00", instance])
    refused("CertificateForm", raw)


def test_every_refusal_says_its_rule_first() -> None:
    error = refused("DebugMode", FORGER.document(pcrs=PCRS | {0: bytes(48)}))
    assert str(error).startswith("DebugMode: ")
    assert error.hint
    assert (error.got, error.expected) == ("zeros", "a measurement")


def test_pins_are_by_bytes() -> None:
    digest = hashlib.sha256(FORGER.ders[0]).digest()
    assert FORGER.root == Root(digest)
    assert not FORGER.root.is_aws
    assert AWS.is_aws
