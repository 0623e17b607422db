"""Public names: all of them exist, are documented, and say what they are."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import grail
import grail_devnet
import grail_enclave
import grail_host

PACKAGES = [grail, grail_enclave, grail_host, grail_devnet]


def modules() -> list[str]:
    return sorted(
        name
        for package in PACKAGES
        for _, name, _ in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not name.endswith(("__main__", "._native"))
    )


def test_all_of_grail_is_there_and_sorted() -> None:
    assert grail.__all__ == sorted(grail.__all__, key=str)
    for name in grail.__all__:
        assert getattr(grail, name).__doc__, name
    assert set(grail.__all__) <= set(dir(grail))
    with pytest.raises(AttributeError):
        grail.Nope  # noqa: B018


def test_grail_loads_nothing_until_a_name_is_used() -> None:
    code = "import sys, grail; print([m for m in sys.modules if m.startswith('grail.')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def public(module: ModuleType) -> list[tuple[str, object]]:
    return [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and getattr(value, "__module__", None) == module.__name__
    ]


@pytest.mark.parametrize("name", modules())
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is"
    missing = [label for label, value in public(module) if not inspect.getdoc(value)]
    assert not missing
