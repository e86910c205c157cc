"""`aimat surrogate publish|promote|rollback|versions`: which stored version answers.

They change the store on disk. Services and training runs that follow the channel notice within a second or two, load
the version beside their work, and take one back that does not answer there as it did when it was stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from aimat_ray.registry.channel import Channel
    from aimat_ray.registry.pointer import Pointer
    from aimat_ray.registry.store import SurrogateStore

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the history.")]
Store = Annotated[
    Path | None, typer.Option("--store", help="Surrogate store; default: AIMAT_STORE or the cache folder.")
]
Run = Annotated[str, typer.Option("--run", help="Private channel of a run; the shared one by default.")]
DataSpec = Annotated[str, typer.Option("--data", help="Folder, 'oracle', 'oracle:SEED' or 'auto'.", metavar="SPEC")]
Name = Annotated[str, typer.Argument(help="default, paper or judge.")]
ProblemName = Annotated[str, typer.Option("--problem", help="Design problem: a built-in name or a YAML file.")]


@friendly_errors
def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a surrogate (aimat surrogate train --out).")],
    stage: Annotated[bool, typer.Option("--stage", help="Only store it; promote it later.")] = False,
    note: Note = "",
    run: Run = "",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Put a surrogate into the store, check its answers, and make it the current version of its channel."""
    from aimat_ray.registry.files import SEAL, read_files
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.surrogate.bundle import SurrogateBundle

    target = SurrogateStore(store)
    sealed = (folder / SEAL).is_file()
    version = target.put_files(read_files(folder)) if sealed else target.put(SurrogateBundle.load(folder))
    _move(target, version, note, run, as_json, only_check=stage)


@friendly_errors
def promote(
    version: Annotated[str, typer.Argument(help="A version of the store.")],
    note: Note = "",
    run: Run = "",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make a stored version the current one of its channel, after it was loaded and repeated its reference answers."""
    from aimat_ray.registry.store import SurrogateStore

    _move(SurrogateStore(store), version, note, run, as_json)


@friendly_errors
def rollback(
    name: Name = "default",
    data: DataSpec = "auto",
    problem: ProblemName = "bmg",
    note: Note = "",
    run: Run = "",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make the previous version of a channel current again."""
    from aimat_ray.registry.store import SurrogateStore

    target, channel = SurrogateStore(store), _channel(name, data, problem, run)
    _show(channel, target.rollback(channel, note), as_json)


@friendly_errors
def versions(
    name: Name = "default",
    data: DataSpec = "auto",
    problem: ProblemName = "bmg",
    run: Run = "",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show the current version of a channel and all changes before it."""
    from aimat_ray.registry.store import SurrogateStore

    channel = _channel(name, data, problem, run)
    _show(channel, SurrogateStore(store).pointer(channel), as_json)


def _channel(name: str, data: str, problem: str, run: str) -> Channel:
    from aimat_ray.data.sources import load_data
    from aimat_ray.problem import load_problem
    from aimat_ray.registry.channel import Channel

    design = load_problem(problem)
    return Channel(name, design.name, load_data(data, design).checksum, run)


def _move(store: SurrogateStore, version: str, note: str, run: str, as_json: bool, only_check: bool = False) -> None:
    from aimat_ray.registry.channel import Channel

    channel = Channel.of(store.get(version).manifest, run)  # loaded and checked; fails before anything moves
    if only_check:
        console.print(f"{version} is stored and repeats its reference answers; aimat surrogate promote {version}")
        _show(channel, store.pointer(channel), as_json, stored=version)
    else:
        _show(channel, store.set_current(channel, version, note), as_json, stored=version)


def _show(channel: Channel, pointer: Pointer, as_json: bool, stored: str | None = None) -> None:
    document: dict[str, Any] = {
        "channel": str(channel),
        "current": pointer.current,
        "previous": pointer.previous,
        "serial": pointer.serial,
        "stored": stored,
        "history": [event.model_dump(exclude={"request"}) for event in pointer.history],
    }
    if as_json:
        emit_json(document)
        return
    typer.echo(f"{channel}: current {pointer.current or '-'}, previous {pointer.previous or '-'}")
    for event in pointer.history:
        typer.echo(f"  {event.serial:4d}  {event.at}  {event.kind:8s}  {event.version}  {event.note}".rstrip())
