"""`journal site serve`: the built site on this machine, to look at.

It listens on loopback unless told otherwise. The site is found at the root and under the path of
its public address too (/NAME/), where the page for wrong addresses looks for its style sheets.
"""

import errno
import functools
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Handler(SimpleHTTPRequestHandler):
    """Files of the site, its own page where there is none, and no listing of folders."""

    # Windows takes the types from its registry, where programs may have spoilt them.
    extensions_map = {  # noqa: RUF012  as in the class above it
        **SimpleHTTPRequestHandler.extensions_map,
        ".css": "text/css",
        ".html": "text/html",
        ".js": "text/javascript",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
        ".xml": "application/xml",
    }

    def __init__(self, *arguments: Any, base: str, **options: Any) -> None:
        self.base = base
        super().__init__(*arguments, **options)

    def send_head(self) -> Any:
        if urlsplit(self.path).path + "/" != self.base:
            return super().send_head()
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", self.base)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def translate_path(self, path: str) -> str:
        if self.base != "/" and path.startswith(self.base):
            path = "/" + path.removeprefix(self.base)
        return super().translate_path(path)

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        missing = Path(self.directory) / "404.html"
        if code != HTTPStatus.NOT_FOUND or not missing.is_file():
            super().send_error(code, message, explain)
            return
        body = missing.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # what is built anew is seen at once
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def listen(site: Path, address: str, host: str, port: int) -> ThreadingHTTPServer:
    """A server of the site that is ready to run; port 0 takes a free one.

    OSError in one sentence where the port is taken or the host is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port is a number from 0 to 65535, not {port}")
    base = urlsplit(address).path or "/"
    handler = functools.partial(Handler, directory=str(site), base=base)
    try:
        return ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"port {port} is taken by another program: choose another with --port {port + 1}"
            ) from None
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
