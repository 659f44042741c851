"""The files of the console that browsers load: style sheets, scripts, an icon. Nothing else is ever served."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Assets:
    """The files, read once. Their folder's name changes with their contents, so that browsers may keep them."""

    def __init__(self) -> None:
        folder = files("dbgate.console").joinpath("static")
        self._files = {item.name: item.read_bytes() for item in folder.iterdir() if _type(item.name)}
        self._files["recording.js"] = files("dbgate.audit").joinpath("player.js").read_bytes()
        whole = b"\0".join(name.encode() + b"\0" + content for name, content in sorted(self._files.items()))
        self._version = hashlib.sha256(whole).hexdigest()[:16]

    def path(self, name: str) -> str:
        """Where a file is. Raises `KeyError`."""
        if name not in self._files:
            raise KeyError(name)
        return f"/static/{self._version}/{name}"

    async def answer(self, request: Request) -> Response:
        """Answer with a file."""
        name = request.path_params["name"]
        if name not in self._files:
            raise HTTPException(404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        if request.path_params["version"] != self._version:
            headers = {"Cache-Control": "no-store"}
        return Response(self._files[name], media_type=_type(name), headers=headers)


def _type(name: str) -> str:
    return next((kind for ending, kind in _TYPES.items() if name.endswith(ending)), "")
