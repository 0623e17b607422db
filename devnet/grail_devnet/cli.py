"""`grail devnet ...`: a network on this machine from the shell.

`up` leaves a manager in the background; every other verb finds it by its state folder. Heavy
imports stand inside the verbs.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from grail.commands.opening import example
from grail.commands.terminal import ASKING, READING, Json, emit, note, sats

if TYPE_CHECKING:
    from grail_devnet.devnet import Devnet
    from grail_devnet.status import ProcessStatus, Status

Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Which devnet, where several run.")
]
Node = Annotated[
    str,
    typer.Argument(
        metavar="NODE", help="operator-01 to operator-16, bitcoind, or operator-01/enclave."
    ),
]

devnet = typer.Typer(
    help="A network on this machine: a Bitcoin node and the operators.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add `devnet` to the `grail` command."""
    app.add_typer(devnet, name="devnet")


@devnet.command(epilog=example("devnet up", READING))
def up(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it.")] = "default",
    operators: Annotated[int, typer.Option(metavar="N", help="How many operators.")] = 16,
    quorum: Annotated[int, typer.Option(metavar="N", help="How many must sign.")] = 12,
    node_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="The node's RPC port; else any.")
    ] = None,
    deploy: Annotated[bool, typer.Option(help="Deploy zkBTC at once.")] = True,
    rogue: Annotated[
        str | None,
        typer.Option(metavar="OPERATOR", help="Accept a build with a fault, and let it run that."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a network in the background and return when it is ready."""
    from grail_devnet.processes import python

    command = python("grail_devnet", "--name", name, "--operators", str(operators))
    command += ["--quorum", str(quorum)]
    if node_port is not None:
        command += ["--node-port", str(node_port)]
    if not deploy:
        command.append("--no-deploy")
    if rogue is not None:
        command += ["--rogue", rogue]
    _run_manager(command, operators + 7, as_json=as_json)
    with _attach(name) as running:
        _show(running.status(), as_json=as_json)


@devnet.command(epilog=example("devnet status --json", READING))
def status(*, name: Name = None, as_json: Json = False) -> None:
    """Show the node, the operators and their processes."""
    with _attach(name) as running:
        _show(running.status(), as_json=as_json)


@devnet.command(epilog=example("devnet logs operator-01 --lines 20", READING))
def logs(
    node: Node,
    *,
    lines: Annotated[
        int,
        typer.Option("--lines", "-n", min=1, max=100_000, metavar="N", help="How many lines."),
    ] = 40,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Show the last lines that an operator or the node wrote."""
    with _attach(name) as running:
        text = running.logs(node, lines)
    emit({"node": node, "lines": text.splitlines()}, as_json=as_json, text=text)


@devnet.command(epilog=example("devnet faucet alice 2000000", READING))
def faucet(
    to: Annotated[
        str, typer.Argument(metavar="TO", help="A wallet's name, or a regtest address (bcrt1...).")
    ],
    amount: Annotated[int, typer.Argument(min=1, metavar="SATS", help="Sats.")] = 10_000_000,
    *,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Pay regtest coins to a wallet or an address, confirmed."""
    with _attach(name) as running:
        address = _address(running, to)
        tx = running.faucet(address, amount)
    value = {"txid": str(tx.txid), "address": address, "sats": amount}
    text = f"paid {sats(amount)}, confirmed\nto    {address}\ntxid  {tx.txid}"
    emit(value, as_json=as_json, text=text)


@devnet.command(epilog=example("devnet mine 6", READING))
def mine(
    blocks: Annotated[
        int, typer.Argument(min=1, max=10_000, metavar="BLOCKS", help="How many.")
    ] = 1,
    *,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Mine blocks."""
    with _attach(name) as running:
        mined = running.mine(blocks)
        height = running.node.getblockcount()
    value = {"height": height, "blocks": [str(block) for block in mined]}
    emit(value, as_json=as_json, text=f"mined {len(mined)}, height {height}")


@devnet.command(epilog=example("devnet kill operator-16", READING))
def kill(node: Node, *, name: Name = None, as_json: Json = False) -> None:
    """End an operator without warning. Its key is gone: it cannot come back."""
    with _attach(name) as running:
        running.kill(node)
    emit({"killed": node}, as_json=as_json, text=f"killed {node}")


@devnet.command(epilog=example("devnet restart bitcoind", READING))
def restart(node: Node, *, name: Name = None, as_json: Json = False) -> None:
    """Start a killed node or host (operator-05/host) again. An enclave's key is gone for good."""
    with _attach(name) as running:
        running.restart(node)
    emit({"restarted": node}, as_json=as_json, text=f"restarted {node}")


@devnet.command(epilog=example("devnet salvage", READING))
def salvage(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Which devnet.")] = "default",
    as_json: Json = False,
) -> None:
    """Bring back a dead network's chain, without its operators.

    Their keys are gone. Plain coins and tokens move, and deposits are taken back after their delay
    (grail recover). The next `up` of that name clears it all away.
    """
    from grail_devnet.processes import python

    command = python("grail_devnet", "--name", name, "--salvage")
    _run_manager(command, 1, as_json=as_json)
    with _attach(name) as running:
        height = running.node.getblockcount()
    text = f"devnet {name} is back at height {height}, without operators"
    emit({"salvaged": name, "height": height}, as_json=as_json, text=text)


@devnet.command(epilog=example("devnet pause operator-05", READING))
def pause(node: Node, *, name: Name = None, as_json: Json = False) -> None:
    """Stop an operator where it stands."""
    with _attach(name) as running:
        running.pause(node)
    emit({"paused": node}, as_json=as_json, text=f"paused {node}")


@devnet.command(epilog=example("devnet resume operator-05", READING))
def resume(node: Node, *, name: Name = None, as_json: Json = False) -> None:
    """Let a paused or cut operator go on."""
    with _attach(name) as running:
        running.resume(node)
    emit({"resumed": node}, as_json=as_json, text=f"resumed {node}")


@devnet.command(epilog=example("devnet cut operator-05", READING))
def cut(node: Node, *, name: Name = None, as_json: Json = False) -> None:
    """Take an operator off the network, while its enclave goes on."""
    with _attach(name) as running:
        running.cut(node)
    emit({"cut": node}, as_json=as_json, text=f"cut {node}")


@devnet.command(epilog=example("devnet partition operator-01,operator-02", READING))
def partition(
    groups: Annotated[
        list[str],
        typer.Argument(metavar="GROUP...", help="operator-01,operator-02: who stays together."),
    ],
    *,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Part the operators: their hosts reach each other within a group alone.

    Whoever is in no group named is in one more. Clients reach all of them.
    """
    parted = [group.split(",") for group in groups]
    with _attach(name) as running:
        running.partition(*parted)
    emit({"groups": parted}, as_json=as_json, text=f"parted off: {'; '.join(groups)}")


@devnet.command(epilog=example("devnet heal", READING))
def heal(*, name: Name = None, as_json: Json = False) -> None:
    """End a partition."""
    with _attach(name) as running:
        running.heal()
    emit({"healed": True}, as_json=as_json, text="healed: all hosts reach each other")


@devnet.command(epilog=example("devnet impostor --operator operator-03", READING))
def impostor(
    *,
    operator: Annotated[
        str, typer.Option(metavar="OPERATOR", help="Whom it dials.")
    ] = "operator-01",
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Let an enclave with one line more in its code try to join, and show what it is told."""
    with _attach(name) as running:
        found = running.impostor(operator)
    emit(found.as_dict(), as_json=as_json, text=str(found))


@devnet.command(epilog=example("devnet equivocate operator-04", ASKING))
def equivocate(
    operator: Annotated[str, typer.Argument(metavar="OPERATOR", help="Who does: see up --rogue.")],
    *,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Let an operator sign two states, for which the others expel it.

    An enclave signs one of each number. So this takes a network that accepts a build with a fault
    as well, and an operator who runs it: grail devnet up --rogue operator-04. `grail roster` shows
    what comes of it.
    """
    with _attach(name) as running:
        found = running.equivocate(operator)
    emit(found.as_dict(), as_json=as_json, text=str(found))


@devnet.command(epilog=example("devnet change-roster --remove operator-02 --add 1", ASKING))
def change_roster(
    *,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="OPERATOR", help="Who leaves; once for each."),
    ] = None,
    add: Annotated[int, typer.Option(min=0, metavar="N", help="How many fresh ones join.")] = 0,
    quorum: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many must sign from then on.")
    ] = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Replace operators; what the old roster guards moves along.

    Fresh operators start, the old quorum signs the spell that names the next roster, and when that
    rules, vault and pools go over to its addresses, at the faucet's expense. Who left runs on, and
    serves deposits to the old addresses, until `retire` ends it.
    """
    progress = None if sys.stderr.isatty() or as_json else _say
    with _attach(name) as running:
        changed = running.change_roster(
            remove=remove or (), add=add, quorum=quorum, progress=progress
        )
    emit(changed.as_dict(), as_json=as_json, text=lambda: str(changed))


@devnet.command(epilog=example("devnet retire operator-02", READING))
def retire(
    operators: Annotated[
        list[str], typer.Argument(metavar="OPERATOR...", help="Who is in the roster no more.")
    ],
    *,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """End operators that left with an earlier roster.

    Their keys are gone then. Deposits to their addresses are served while a quorum of their roster
    is up, and go back to their owners after their delay (grail recover).
    """
    with _attach(name) as running:
        running.retire(*operators)
    emit({"retired": operators}, as_json=as_json, text=f"retired {', '.join(operators)}")


@devnet.command(epilog=example("devnet accept-build", ASKING))
def accept_build(*, name: Name = None, as_json: Json = False) -> None:
    """Have the quorum accept another build of the enclave beside those of now.

    It has one line more in its code, so another measurement. Operators that join from then on run
    it: grail devnet change-roster --remove operator-02 --add 1 moves an operator to it.
    """
    with _attach(name) as running:
        state = running.accept_build()
    builds = [image[0].hex() for image in state.images]
    emit(
        {"number": state.number, "builds": builds},
        as_json=as_json,
        text=f"state {state.number} of the roster accepts {len(builds)} builds (PCR0): "
        + ", ".join(build[:12] for build in builds),
    )


@devnet.command(epilog=example("devnet leave operator-02", ASKING))
def leave(
    operator: Annotated[str, typer.Argument(metavar="OPERATOR", help="Who asks.")],
    *,
    stay: Annotated[bool, typer.Option("--stay", help="It asks no more.")] = False,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Let an operator tell all others that it asks for a roster without it.

    `grail roster` shows it. It votes and signs as before, until `change-roster` replaces it.
    """
    with _attach(name) as running:
        running.ask_to_leave(operator, leaving=not stay)
    text = f"{operator} asks to {'stay' if stay else 'leave'}"
    emit({"operator": operator, "leaving": not stay}, as_json=as_json, text=text)


@devnet.command(epilog=example("devnet down", READING))
def down(*, name: Name = None, as_json: Json = False) -> None:
    """End a network, and whatever one that died has left."""
    from grail.errors import Unavailable
    from grail.network_file import find, folder_of
    from grail_devnet.devnet import end_network
    from grail_devnet.state import StateFolder

    chosen = name
    if chosen is None:
        try:
            chosen = find().name
        except Unavailable:
            chosen = "default"  # one that died is not found; its folder may be there
    folder = StateFolder(folder_of(chosen))
    if not folder.path.exists():
        raise Unavailable(f"no devnet {chosen!r}", hint="grail devnet up starts one")
    end_network(folder)
    emit({"down": chosen}, as_json=as_json, text=f"devnet {chosen} is down")


def _run_manager(command: list[str], steps: int, *, as_json: bool) -> None:
    """Start a manager in the background and return when its network is ready."""
    from grail.connection.progress import showing

    with (
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        ) as manager,
        showing("devnet", steps, shown=sys.stderr.isatty()) as bar,
    ):
        try:
            _follow(manager, bar if sys.stderr.isatty() or as_json else _say)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                manager.send_signal(signal.SIGTERM)
            manager.wait()
            raise
        # The manager lives on by itself: leaving the block must not wait for its end.
        manager.returncode = 0


def _attach(name: str | None) -> Devnet:
    from grail_devnet.devnet import Devnet

    return Devnet.attach(name)


def _address(running: Devnet, to: str) -> str:
    """The address of the wallet of this name, or the text itself where it is no name."""
    from grail.bitcoin.network import REGTEST
    from grail.errors import InvalidInput
    from grail.wallet.account import NAME, Account

    if not NAME.fullmatch(to):
        return to  # every address is longer than a name may be
    path = running.file.folder / "wallets" / f"{to}.json"
    if not path.exists():
        raise InvalidInput(
            f"no wallet is called {to!r} here", hint=f"make it: grail address --wallet {to}"
        )
    return Account.load(path, REGTEST).address


def _say(step: str) -> None:
    """Progress where there is no terminal: a line a step, without the count of operators."""
    if " of " not in step:
        note(f"devnet: {step}")


def _follow(manager: subprocess.Popen[str], bar: Callable[[str], None]) -> None:
    """Show how far the manager is; return when it is ready, raise what it says."""
    from grail.errors import InvalidInput, NodeUnfit, Unavailable

    assert manager.stdout is not None
    said: list[str] = []
    for line in manager.stdout:
        try:
            told = json.loads(line)
        except ValueError:
            said.append(line.rstrip())
            continue
        if "progress" in told:
            bar(told["progress"])
        elif "ready" in told:
            return
        else:
            known = {kind.__name__: kind for kind in (InvalidInput, NodeUnfit)}
            raise known.get(told["error"], Unavailable)(told["message"], hint=told["hint"])
    tail = said[-1] if said else "it said nothing"
    raise Unavailable(f"the devnet's manager ended: {tail}")


def _show(status: Status, *, as_json: bool) -> None:
    emit(status.to_json(), as_json=as_json, text=lambda: _table(status))
    silent = [operator.name for operator in status.operators if operator.error]
    if silent and not as_json:
        note(f"no answer from {', '.join(silent)}")


def _table(status: Status) -> str:
    count = f"{len(status.operators)} operators, quorum {status.quorum}"
    lines = [
        f"devnet {status.name}: {count}, {status.processes} processes, {_mb(status.memory)}",
        f"  {status.isolation}",
        *(f"  {each} runs a build with a fault, which is accepted here" for each in status.rogues),
        *(f"  enclaves are not kept apart from this machine: {each}" for each in status.unconfined),
        f"  folder {status.folder}",
        "",
        _row("name", ("rank", "height", "epoch"), "enclave", "host", "address"),
    ]
    node = status.node
    lines.append(_row("bitcoind", ("", node.height, ""), _cell(node.process), "", node.url))
    for operator in status.operators:
        cells = (_cell(operator.enclave), _cell(operator.host))
        numbers = (operator.rank, operator.height, operator.epoch)
        lines.append(_row(operator.name, numbers, *cells, operator.url))
    return "\n".join(lines)


def _row(name: str, numbers: Sequence[object], *cells: str) -> str:
    shown = "".join(f"{'-' if value is None else value:>7}" for value in numbers)
    enclave, host, address = cells
    return f"{name:<14}{shown}  {enclave:<16}{host:<16}{address}"


def _cell(process: ProcessStatus) -> str:
    return f"{process.state} {_mb(process.memory)}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
