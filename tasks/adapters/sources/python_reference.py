"""The source kind `python_reference`: the documentation of the running interpreter, with questions about it."""

from tasks.adapters.sources.python_docs.documented_objects import Limits, language_topics, read_reference
from tasks.adapters.sources.python_docs.installed import PYTHON_LICENCE, python_edition
from tasks.adapters.sources.python_docs.modules import standard_library
from tasks.adapters.sources.python_docs.reference_records import QuestionLimits, write_reference
from tasks.adapters.sources.raw_zone import RawZone
from tasks.adapters.sources.reader import ReadLimits
from tasks.core.sources.kinds import PythonReference


class PythonReferenceReader:
    """Reads the standard library and, where all of it is wanted, the language's topics."""

    may_be_empty = False

    def __init__(self, source: PythonReference, limits: ReadLimits) -> None:
        self._source = source

    def fingerprint(self) -> str:
        return python_edition().version

    def licence(self) -> str:
        return PYTHON_LICENCE

    def read(self, zone: RawZone) -> None:
        source = self._source
        limits = Limits(source.max_per_module, source.max_document_chars)
        questions = QuestionLimits(source.max_conversations, source.unanswerable_share, source.held_out_share)
        topics = {} if source.include else language_topics()
        corpus = read_reference(source.kind, standard_library(), source.is_wanted, limits, topics)
        write_reference(zone, source.kind, corpus, python_edition(), questions)
