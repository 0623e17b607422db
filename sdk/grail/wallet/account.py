"""A user's key: one secret, one taproot output (BIP 341 key path, tweaked as BIP 86 says).

The key knows the chain that it was made for and refuses to be loaded on another: a key that lay in
a devnet's folder never guards real money by mistake.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from grail.bitcoin import addresses, taproot
from grail.bitcoin.network import Chain
from grail.bitcoin.tx import Tx, sighash, sign_key_path
from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput
from grail.folders import create_private
from grail.types import TxOut, XOnlyKey

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""What a wallet may be called: it becomes a file name, so no dots and no slashes."""

_FORMAT = 1


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless a wallet can have this name, which is also its file's."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"wallet name: got {name[:40]!r}",
            hint="use 1 to 32 of a-z, 0-9, dash and underscore",
        )


class Account:
    """One key and the address it owns.

    `internal_key` is the key as drawn (it owns the recovery leaf of a deposit), `script` the
    scriptPubKey of its taproot output. The secret is in no text form of the object.
    """

    __slots__ = ("_key", "chain", "name", "script")

    def __init__(self, name: str, key: KeyPair, chain: Chain) -> None:
        check_name(name)
        self.name = name
        self.chain = chain
        self._key = key
        # BIP 86: the tweak commits to no script, so nobody can have hidden a second way to spend
        self.script = taproot.output(key.public).script_pubkey

    @classmethod
    def generate(cls, name: str, chain: Chain) -> Self:
        """A new key from the operating system's random source."""
        return cls(name, KeyPair.generate(), chain)

    @property
    def internal_key(self) -> XOnlyKey:
        """The x-only key as drawn, before the tweak."""
        return self._key.public

    @property
    def address(self) -> str:
        """The address of `script` on this chain (BIP 350)."""
        return addresses.to_address(self.script, self.chain.hrp)

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.address}, secret=<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("an account holds a secret key and is never pickled")

    def sign(self, tx: Tx, prevouts: Sequence[TxOut], index: int) -> Tx:
        """The transaction with a key-path witness on input `index`, an output at `script`.

        Raises `InvalidInput` when the input is not this account's.
        """
        return sign_key_path(tx, prevouts, index, self._key)

    def recovery_signature(
        self, tx: Tx, prevouts: Sequence[TxOut], index: int, leaf_hash: bytes
    ) -> bytes:
        """The signature that a deposit's recovery leaf asks for (BIP 342, sighash DEFAULT)."""
        return self._key.sign(sighash(tx, prevouts, index, leaf_hash=leaf_hash))

    @classmethod
    def create(cls, path: Path, chain: Chain) -> Self:
        """A new key, written for its owner alone (mode 0600) under the name of the file.

        Raises `InvalidInput` when the file exists: a key is never overwritten, and `Unavailable`
        when the disk does not take it.
        """
        secret = secrets.token_bytes(32)
        account = cls(path.stem, KeyPair(secret), chain)
        body = json.dumps(
            {"format": _FORMAT, "chain": chain.name, "name": account.name, "secret": secret.hex()}
        )
        try:
            create_private(path, body.encode())
        except FileExistsError as exc:
            raise InvalidInput(
                f"wallet {account.name!r} exists already", hint="load it, or choose another name"
            ) from exc
        return account

    @classmethod
    def load(cls, path: Path, chain: Chain) -> Self:
        """Read a key that `save` wrote.

        Raises `InvalidInput` when the file is missing, damaged, readable by others, or made for
        another chain. No part of the file's content is in the message.
        """
        name = path.stem
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as exc:
            raise InvalidInput(f"wallet {name!r}: {exc.strerror}") from exc
        with os.fdopen(handle, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise InvalidInput(
                    f"wallet {name!r}: mode {mode:o}, expected 600",
                    hint="others could have read the key: move the coins to a new wallet",
                )
            raw = file.read(4096)
        try:
            body = json.loads(raw)
            made_for, secret = body["chain"], bytes.fromhex(body["secret"])
            fits = body["format"] == _FORMAT and body["name"] == name
        except (ValueError, KeyError, TypeError, RecursionError):
            # `from None`: the decoder's error quotes what it read
            raise InvalidInput(f"wallet {name!r}: the file is damaged") from None
        if not fits:
            raise InvalidInput(f"wallet {name!r}: the file names another wallet or format")
        if made_for != chain.name:
            raise InvalidInput(
                f"wallet {name!r}: made for {str(made_for)[:20]!r}, expected {chain.name!r}",
                hint="keys stay on the chain they were made for",
            )
        return cls(name, KeyPair(secret), chain)
