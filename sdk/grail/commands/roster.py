"""`grail roster`: who the operators are, and whether they are in step."""

from __future__ import annotations

import typer

from grail.commands.opening import Network, example, opened, show
from grail.commands.terminal import READING, Json


def register(app: typer.Typer) -> None:
    """Add the verb to the `grail` command."""
    app.command(epilog=example("roster --json", READING))(roster)


def roster(*, network: Network = None, as_json: Json = False) -> None:
    """Show who the operators are and whether they are in step.

    Owner, account, zone, the measurement that each attested (PCR0), when it did and was last heard
    of, and whose view differs; above, what the largest owner, account and zone hold. Times are the
    median of what the others say. An operator that is down is a row, not an error.
    """
    with opened(network) as net:
        found = net.roster
    show(found, as_json=as_json)
