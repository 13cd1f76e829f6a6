"""Which reader opens which kind of source: one line a kind."""

from collections.abc import Callable
from typing import Any

from tasks.adapters.sources.feedback import FeedbackReader
from tasks.adapters.sources.files import FilesReader
from tasks.adapters.sources.package_reference import PackageReferenceReader
from tasks.adapters.sources.python_reference import PythonReferenceReader
from tasks.adapters.sources.reader import ReadLimits, SourceReader
from tasks.core.sources.kinds import FeedbackRecords, Files, PackageReference, PythonReference, Source

READERS: dict[type[Any], Callable[[Any, ReadLimits], SourceReader]] = {
    PythonReference: PythonReferenceReader,
    PackageReference: PackageReferenceReader,
    Files: FilesReader,
    FeedbackRecords: FeedbackReader,
}


def open_source(source: Source, limits: ReadLimits) -> SourceReader:
    """Return the reader of a source; it has read nothing yet."""
    return READERS[type(source)](source, limits)
