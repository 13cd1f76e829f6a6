"""`ratchet serve` as a process of its own, and connections to it that cost a client little."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from tests.conftest import REPOSITORY


@dataclass(frozen=True)
class Served:
    """A gateway that answers."""

    process: psutil.Process
    url: str
    key: str
    """An admin's."""


def make_checkout(folder: Path, **values: object) -> Path:
    """Make a checkout with the repository's configs, those of the gateway aside."""
    configs = folder / "configs"
    configs.mkdir(parents=True)
    for part in (REPOSITORY / "configs").iterdir():
        if part.name != "serve.yaml":
            (configs / part.name).symlink_to(part)
    (configs / "serve.yaml").write_text(yaml.safe_dump(values))
    return folder


@contextmanager
def serving(checkout: Path, environment: Mapping[str, str], open_files: int = 1024) -> Iterator[Served]:
    """Run the gateway of a checkout until the block ends; it starts with room for so many open files."""
    few = ["bash", "-c", f'ulimit -S -n {open_files}; exec "$@"', "bash"]
    command = [*few, sys.executable, "-W", "ignore", "-m", "flows", "serve", "--port", "0"]
    paths = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    with (checkout / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=checkout, env=paths, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "answers at" in line:
                break
        key, url = re.search(r"rk-\S+", said), re.search(r"http://[^/\s]+", said)
        assert key is not None, (checkout / "log").read_text()
        assert url is not None, (checkout / "log").read_text()
        yield Served(psutil.Process(process.pid), url[0], key[0])
    finally:
        process.terminate()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Connection:
    """One open connection to a gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: str

    async def ask(self, question: str, **options: object) -> tuple[int, bytes, bytes]:
        """Return the status, head and body of an answer."""
        turns = [{"role": "user", "content": question}]
        return await self.send("POST", "/v1/chat/completions", {"model": "ratchet", "messages": turns, **options})

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, bytes, bytes]:
        """Return the status, head and body of what the gateway says; not for streams."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {self.key}\r\n"
        self.writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        said = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", said, re.IGNORECASE)
        assert length is not None
        return int(said.split(b" ", 2)[1]), said, await self.reader.readexactly(int(length[1]))


async def connect(url: str, key: str) -> Connection:
    """Open a connection."""
    host, port = url.removeprefix("http://").split(":")
    return Connection(*await asyncio.open_connection(host, int(port)), key)
