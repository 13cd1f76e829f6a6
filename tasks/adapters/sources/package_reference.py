"""The source kind `package_reference`: the documentation of installed packages, with questions about it."""

from tasks.adapters.sources.python_docs.documented_objects import Limits, read_reference
from tasks.adapters.sources.python_docs.installed import package_edition
from tasks.adapters.sources.python_docs.reference_records import QuestionLimits, write_reference
from tasks.adapters.sources.raw_zone import RawZone
from tasks.adapters.sources.reader import ReadLimits
from tasks.core.sources.kinds import PackageReference


class PackageReferenceReader:
    """Reads one package after the other."""

    may_be_empty = False

    def __init__(self, source: PackageReference, limits: ReadLimits) -> None:
        self._source = source

    def fingerprint(self) -> str:
        return " ".join(package_edition(package).version for package in self._source.packages)

    def licence(self) -> str:
        return ", ".join(dict.fromkeys(package_edition(package).licence for package in self._source.packages))

    def read(self, zone: RawZone) -> None:
        source = self._source
        limits = Limits(source.max_per_module, source.max_document_chars)
        questions = QuestionLimits(source.max_conversations, source.unanswerable_share, source.held_out_share)
        for package in source.packages:
            corpus = read_reference(source.kind, [package], source.is_wanted, limits, {})
            write_reference(zone, source.kind, corpus, package_edition(package), questions)
