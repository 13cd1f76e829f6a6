"""Collects the terms of documents: of those that a model version can retrieve, and of those on offer.

Reads the version's passages from the registry, or `data/index` for the base model; installed packages and files as
`ingest` would. Caveat: reading a package imports it.
"""

from pathlib import Path

from tasks.adapters.release.registry import Registry
from tasks.adapters.retrieval.index import PASSAGES, TITLES
from tasks.adapters.storage.tables import read_batches
from tasks.core.monitoring.window_verdict import Offer
from tasks.core.retrieval.terms import terms
from tasks.core.sources.kinds import PackageReference


def indexed_terms(registry: Registry, model: str | None, index: Path, folder: Path) -> set[str]:
    """Return every term of the version's documents; `model` None: those of the folder `index`."""
    if model is not None:
        manifest = registry.manifest(model)
        for name in (PASSAGES, TITLES):
            if (ref := manifest.files.get(f"index/{name}")) is not None:
                registry.get_blob(ref.sha256, folder / name)
        index = folder
    found: set[str] = set()
    for name, column in ((PASSAGES, "text"), (TITLES, "title")):
        if (index / name).exists():
            for frame in read_batches(index / name, [column]):
                found.update(term for text in frame[column] for term in terms(text or ""))
    return found


def offered_terms(offer: Offer, endpoint_url: str | None) -> set[str]:
    """Return every term of the documents on offer. Raises ConfigError for a package or place that is not there."""
    found: set[str] = set()
    for text in (*_package_texts(offer.packages), *_file_texts(offer.paths, endpoint_url)):
        found.update(terms(text))
    return found


def _package_texts(packages: list[str]) -> list[str]:
    from tasks.adapters.sources.python_docs.documented_objects import Limits, read_reference
    from tasks.adapters.sources.python_docs.installed import package_edition

    if not packages:
        return []
    source = PackageReference(kind="package_reference", packages=packages)
    for package in packages:
        package_edition(package)  # raises ConfigError where it is not installed
    limits = Limits(source.max_per_module, source.max_document_chars)
    corpus = read_reference(source.kind, packages, source.is_wanted, limits, {})
    return [f"{subject.name}\n{subject.text}" for subject in corpus.subjects]


def _file_texts(paths: list[str], endpoint_url: str | None) -> list[str]:
    from tasks.adapters.sources.documents import DOCUMENT_SUFFIXES
    from tasks.adapters.sources.listing import list_files

    texts = []
    for file in list_files(paths, DOCUMENT_SUFFIXES, endpoint_url):
        if file.suffix == ".parquet":
            continue  # tables of records: only `ingest` reads them
        with file.open() as stream:
            texts.append(stream.read().decode("utf-8", "replace"))
    return texts
