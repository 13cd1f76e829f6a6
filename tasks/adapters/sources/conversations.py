"""JSONL and Parquet conversations as records, tied to documents where their record says to which.

A record may name its documents (`documents`: paths below the source's folders, or ids) or bring its own (`context`: a
text, which becomes a document). Without either nothing is known about the evidence: the conversation is its own family.
"""

from collections.abc import Iterable, Mapping

from tasks.adapters.sources.documents import SOURCE, SourceTerms, each_record
from tasks.adapters.sources.raw_zone import ConversationRow, DocumentRow, Place, RawZone
from tasks.adapters.sources.source_file import SourceFile
from tasks.adapters.system.progress import Progress
from tasks.core.records.schema import record_id
from tasks.core.sources.chat_formats import Chat, UnrecognisedError, recognise
from tasks.core.sources.docstrings import flatten

KIND = "free"


def read_conversations(
    files: Iterable[SourceFile], zone: RawZone, terms: SourceTerms, known: Mapping[str, str]
) -> None:
    """Add every conversation of `files` to the raw zone; `known` gives the id of each document by its names."""
    files = list(files)
    progress = Progress("ingest conversations", len(files))
    for file in files:
        reader = _Reader(file, zone, terms, known)
        each_record(file, zone, terms.max_record_bytes, reader.read)
        progress.advance()


def messages_key(turns: Iterable[Mapping[str, str]]) -> str:
    """Return the messages as the text that a conversation's id follows from."""
    return "\x1e".join(f"{turn['role']}\x1f{turn['content']}" for turn in turns)


class _Reader:
    """Conversations of one file."""

    def __init__(self, file: SourceFile, zone: RawZone, terms: SourceTerms, known: Mapping[str, str]) -> None:
        self._file, self._zone, self._known = file, zone, known
        self._licence, self._seen_at = terms.licence, file.seen_at
        self._names: set[str] = set()

    def read(self, record: object, place: Place, raw: object) -> None:
        """Add the conversation in `record`, or refuse it."""
        try:
            chat = recognise(record)
        except UnrecognisedError as error:
            self._zone.refuse(place, "no conversation", raw, detail=str(error))
            return
        if chat.id and chat.id in self._names:
            self._zone.refuse(place, "duplicate id", raw)
            return
        unknown = [name for name in chat.documents if name not in self._known]
        if unknown:
            self._zone.refuse(place, "unknown document", raw)
            return
        if self._zone.add_conversation(self._row(chat, place), place) and chat.id:
            self._names.add(chat.id)

    def _row(self, chat: Chat, place: Place) -> ConversationRow:
        uri = f"{self._file.uri}#{chat.id}" if chat.id else self._file.uri
        identity = record_id(SOURCE, uri, messages_key(chat.turns))
        document_ids = list(dict.fromkeys(self._known[name] for name in chat.documents))
        evidence = ""
        if chat.context.strip():
            document_ids.append(self._context_document(chat.context, place))
            evidence = _evidence(chat)
        family = self._zone.family_of(document_ids[0]) if document_ids else None
        return ConversationRow(
            id=identity,
            family=family or identity,
            messages=chat.turns,
            document_ids=document_ids,
            evidence=evidence,
            answerable=not chat.is_abstention,
            withhold=False,
            kind=KIND,
            phrasing="",
            held_out=False,
            source=SOURCE,
            uri=uri,
            licence=self._licence,
            seen_at=self._seen_at,
        )

    def _context_document(self, context: str, place: Place) -> str:
        """Add the text that a conversation brings along, once however many bring it, and return its id."""
        uri = f"{self._file.uri}#context"
        identity = record_id(SOURCE, uri, context)
        if self._zone.family_of(identity) is None:
            title = " ".join(context[:200].split()[:8])
            family = f"{uri}:{identity}"
            row = DocumentRow(identity, family, title, context, SOURCE, uri, self._licence, self._seen_at)
            self._zone.add_document(row, place)
        return identity


def _evidence(chat: Chat) -> str:
    """Return the answer where the context holds it word by word, else nothing: the evidence is not known."""
    answer = flatten(chat.answer)
    return chat.answer.strip() if answer and answer in flatten(chat.context) else ""
