"""Names for tokens, given by the person on this machine; nothing on chain has a say in them.

A token that has no name here is shown whole, `t/identity/vk`, so that none can pass for another.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from grail.charms.app import App
from grail.errors import DecodeError, InvalidInput
from grail.folders import write_private

FILE = "labels.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,15}")


class Labels:
    """Which app a name means, and how an app is shown."""

    def __init__(self, folder: Path, zkbtc: App) -> None:
        self._path = folder / FILE
        self._zkbtc = zkbtc
        self._apps: dict[str, App] = {"zkBTC": zkbtc}
        self._read()

    def _read(self) -> None:
        """Take in what the file has, also by other programs since the last time."""
        try:
            listed = json.loads(self._path.read_text())
            self._apps |= {str(name): App.from_text(text) for name, text in listed.items()}
        except FileNotFoundError:
            return
        except (ValueError, AttributeError, TypeError, RecursionError) as exc:
            raise DecodeError(f"{self._path}: not a list of names") from exc

    def give(self, name: str, app: App) -> None:
        """Call an app by a name from now on. Raises `InvalidInput` when the name is taken."""
        if not NAME.fullmatch(name):
            raise InvalidInput(
                f"name: got {name[:40]!r}", hint="use 1 to 16 letters, digits, dots, dashes"
            )
        self._read()  # a program beside this one may have given names, which stay
        # upper and lower case are one name, as `find` takes them
        taken = {known.lower(): held for known, held in self._apps.items()}
        if taken.get(name.lower(), app) != app:
            raise InvalidInput(
                f"the name {name!r} means another token already", hint="choose another name"
            )
        apps = {**self._apps, name: app}
        listed = {n: str(a) for n, a in apps.items() if a != self._zkbtc}
        write_private(self._path, json.dumps(listed, indent=1).encode())
        self._apps = apps

    def show(self, app: App) -> str:
        """The app's name here, or the app whole."""
        token = App("t", app.identity, app.vk)
        for name, known in self._apps.items():
            if known == app:
                return name
            if known == token:
                return f"{app.tag} of {name}"
        return str(app)

    def find(self, text: str, kind: str = "token") -> App:
        """The app of this name, or of the text `tag/identity/vk`. Raises `InvalidInput`.

        `kind` is what the caller looks for, for the error.
        """
        for name, app in self._apps.items():
            if name.lower() == text.lower():
                return app
        if "/" in text:
            return App.from_text(text)
        raise InvalidInput(
            f"no {kind} is called {text[:40]!r} here",
            hint=f"names here: {', '.join(self._apps)}; without a name, paste its text whole",
        )

    def named(self, text: str) -> str:
        """A text with apps and contracts by the names that they have here."""
        for name, app in self._apps.items():
            text = text.replace(str(app), name).replace(str(app.contract), name)
        return text
