"""Grail Pro: zk-apps on Bitcoin, in Python.

    import grail

    net = grail.connect()            # the network that `grail devnet up` started
    alice = net.wallet("alice")

Names are loaded on first use, so that a program which needs one part, such as an operator's
enclave, carries no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "Account",
    "App",
    "Connection",
    "Contract",
    "Draft",
    "GrailError",
    "Refused",
    "Wallet",
    "ZkApp",
    "compile_app",
    "connect",
]

if TYPE_CHECKING:
    from grail.apps.compiler import compile_app
    from grail.apps.zkapp import ZkApp
    from grail.charms.app import App, Contract
    from grail.connection.connection import Connection, Wallet, connect
    from grail.draft.draft import Draft
    from grail.errors import GrailError, Refused
    from grail.wallet.account import Account
else:
    _HOME = {
        "Account": "grail.wallet.account",
        "App": "grail.charms.app",
        "Connection": "grail.connection.connection",
        "Contract": "grail.charms.app",
        "Draft": "grail.draft.draft",
        "GrailError": "grail.errors",
        "Refused": "grail.errors",
        "Wallet": "grail.connection.connection",
        "ZkApp": "grail.apps.zkapp",
        "compile_app": "grail.apps.compiler",
        "connect": "grail.connection.connection",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'grail' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
