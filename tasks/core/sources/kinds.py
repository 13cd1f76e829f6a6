"""The kinds of sources that `sources` in configs/curate/ingest.yaml may list, told apart by `kind`."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.stage import StageConfig


class _Reference(StageConfig):
    include: list[str] = Field(default_factory=list)
    """Modules to document, with all below them; empty means all of the source."""
    exclude: list[str] = Field(default_factory=list)
    """Modules to leave out, with all below them."""
    max_per_module: int = Field(default=16, ge=1)
    """Documents of one module; more of them find fewer readers and cost index time."""
    max_document_chars: int = Field(default=4000, ge=200)
    """Longer documentation is cut at a paragraph."""
    max_conversations: int = Field(default=6000, ge=0)
    """Questions to ask about the documents."""
    unanswerable_share: float = Field(default=0.38, ge=0, le=0.9)
    """Share of questions whose right answer says that the context does not contain it."""
    held_out_share: float = Field(default=0.3, ge=0, le=1)
    """Share of questions that are asked once more in a wording kept for eval and holdout."""

    def is_wanted(self, module: str) -> bool:
        """Return whether to look into `module`: at, below, or on the way to an included one, and not excluded."""
        if any(_is_at_or_below(module, other) for other in self.exclude):
            return False
        return not self.include or any(_is_at_or_below(module, m) or _is_at_or_below(m, module) for m in self.include)


class PythonReference(_Reference):
    """The running interpreter's own documentation."""

    kind: Literal["python_reference"] = "python_reference"

    @property
    def uri(self) -> str:
        return ", ".join(self.include) or "standard library"


class PackageReference(_Reference):
    """The documentation of installed packages."""

    kind: Literal["package_reference"]
    packages: list[str] = Field(min_length=1)
    """Importable names of installed packages."""

    @property
    def uri(self) -> str:
        return ", ".join(self.packages)


class Files(StageConfig):
    """Documents and conversations in files. A location is a folder, a glob, a file or an s3:// prefix."""

    kind: Literal["files"]
    documents: list[str] = Field(default_factory=list)
    """Locations of .md, .rst, .txt and .html, and of .jsonl and .parquet whose records have a field `text`."""
    conversations: list[str] = Field(default_factory=list)
    """Locations of .jsonl and .parquet: OpenAI messages, ShareGPT, Alpaca, or pairs."""
    licence: str = "unknown"
    """SPDX identifier of what these files are under."""

    @property
    def uri(self) -> str:
        return ", ".join([*self.documents, *self.conversations])


class FeedbackRecords(StageConfig):
    """What people said about served answers."""

    kind: Literal["feedback"]
    path: str
    """Location of JSONL feedback records: a folder, a glob, a file or an s3:// prefix."""
    require_review: bool = True
    """Use only corrections that a reviewer accepted; false uses all but the rejected."""
    licence: str = "unknown"
    """SPDX identifier of what people wrote."""

    @property
    def uri(self) -> str:
        return self.path


Source = Annotated[PythonReference | PackageReference | Files | FeedbackRecords, Field(discriminator="kind")]


def describe(source: Source) -> str:
    """Return the source as a person would point at it."""
    return f"{source.kind} ({source.uri})"


def _is_at_or_below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")
