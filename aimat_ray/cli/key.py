"""`aimat key`: API keys of the property endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from aimat_ray.serving.keys import KeyFile

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
File = Annotated[Path | None, typer.Option("--file", help="Key file; default: api-keys.json in the surrogate store.")]


@app.command(epilog="Example: aimat key create --name lab-3 --scope read --scope design")
@friendly_errors
def create(
    name: Annotated[str, typer.Option("--name", help="Who the key is for.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, design or admin; repeatable.")] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it once, on stdout; only its hash is kept."""
    from aimat_ray.errors import ConfigError
    from aimat_ray.serving.settings import SCOPES

    wanted = [known for known in SCOPES if known in (scope or ["read"])]
    for word in scope or []:
        if word not in SCOPES:
            raise ConfigError(f"--scope {word!r}: expected one of: {', '.join(SCOPES)}")
    keys = _key_file(file)
    key, secret = keys.create(name, wanted)
    if as_json:
        emit_json({"id": key.id, "name": key.name, "scopes": key.scopes, "key": secret})
    else:
        typer.echo(secret)
        console.print(
            f"key {key.id} for {key.name}: {', '.join(key.scopes)}; shown once, hash in {keys.path}", markup=False
        )


@app.command("list", epilog="Example: aimat key list --json")
@friendly_errors
def list_(file: File = None, as_json: Json = False) -> None:
    """Show all keys by id, without their secrets."""
    keys = _key_file(file).read()
    if as_json:
        emit_json([key.model_dump(exclude={"sha256"}) for key in keys])
        return
    for key in keys:
        state = f"revoked {key.revoked}" if key.revoked else "valid"
        typer.echo(f"{key.id}  {key.created}  {','.join(key.scopes):18s}  {state:36s}  {key.name}")


@app.command(epilog="Example: aimat key revoke 1a2b3c4d")
@friendly_errors
def revoke(
    ident: Annotated[str, typer.Argument(help="Id of the key, from `aimat key list`.", metavar="ID")],
    file: File = None,
) -> None:
    """End a key; running services notice within two seconds."""
    key = _key_file(file).revoke(ident)
    console.print(f"key {key.id} for {key.name} is revoked", markup=False)


def _key_file(file: Path | None) -> KeyFile:
    from aimat_ray.registry.store import default_root
    from aimat_ray.serving.keys import FILE_NAME, KeyFile

    return KeyFile(file or default_root() / FILE_NAME)
