"""The web page at `/`: plain files, read once. It asks the same API as everybody else, under `envelope`'s headers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from aimat_ray.serving.context import AppContext

_CACHE = "no-cache"  # asked for again each time, and answered 304 while it is the same
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True)
class PageFile:
    """A file of the page.

    Attributes:
        content: Its bytes.
        media_type: What it is.
        tag: Changes with the content.
    """

    content: bytes
    media_type: str
    tag: str


@lru_cache(maxsize=1)
def page_files() -> dict[str, PageFile]:
    """The files of the page by name."""
    found = {}
    for item in resources.files("aimat_ray.serving").joinpath("page").iterdir():
        kind = item.name.rpartition(".")[2]
        if kind in _TYPES and item.is_file():
            content = item.read_bytes()
            found[item.name] = PageFile(content, _TYPES[kind], f'"{hashlib.sha256(content).hexdigest()[:20]}"')
    return found


def page_router(context: AppContext) -> APIRouter:
    """The page and its files. They hold no data, so they need no key."""
    router = APIRouter(include_in_schema=False)
    files = page_files()

    def send(name: str, request: Request) -> Response:
        found = files.get(name)  # a closed list: no path leads out of it
        if found is None:
            raise HTTPException(404, "the page has no such file")
        headers = {"Cache-Control": _CACHE, "ETag": found.tag}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    @router.get("/")
    async def read_page(request: Request) -> Response:
        return send(_INDEX, request)

    @router.get("/page/{name}")
    async def read_file(name: str, request: Request) -> Response:
        return send(name, request)

    return router
