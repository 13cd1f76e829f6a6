"""The source kind `files`: documents and conversations in folders, files or S3 prefixes."""

from tasks.adapters.sources.conversations import read_conversations
from tasks.adapters.sources.documents import DOCUMENT_SUFFIXES, RECORD_SUFFIXES, SourceTerms, read_documents
from tasks.adapters.sources.listing import fingerprint, list_files
from tasks.adapters.sources.raw_zone import RawZone
from tasks.adapters.sources.reader import ReadLimits
from tasks.adapters.sources.source_file import SourceFile
from tasks.core.errors import ConfigError
from tasks.core.sources.kinds import Files


class FilesReader:
    """Reads documents first, so that conversations can name them."""

    may_be_empty = False

    def __init__(self, source: Files, limits: ReadLimits) -> None:
        self._source, self._limits = source, limits

    def fingerprint(self) -> str:
        return fingerprint(self._documents() + self._conversations())

    def licence(self) -> str:
        return self._source.licence

    def read(self, zone: RawZone) -> None:
        if not self._source.documents and not self._source.conversations:
            raise ConfigError("A source of kind files names no documents and no conversations: add paths to `sources`.")
        terms = SourceTerms(self._source.licence, self._limits.max_record_bytes)
        known = read_documents(self._documents(), zone, terms)
        read_conversations(self._conversations(), zone, terms, known)

    def _documents(self) -> list[SourceFile]:
        return list_files(self._source.documents, DOCUMENT_SUFFIXES, self._limits.endpoint_url)

    def _conversations(self) -> list[SourceFile]:
        return list_files(self._source.conversations, RECORD_SUFFIXES, self._limits.endpoint_url)
