"""Markdown, reStructuredText and HTML as plain text with a title. Pure, standard library only.

What a reader would see stays (code included), what only a renderer needs goes. Caveat: this is a reader for curation,
not a full parser; nested tables and reference-style links keep some of their marks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser

from tasks.core.sources.docstrings import flatten

MAX_TITLE = 120
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Page:
    """A document's text and the title it gives itself, empty where it gives none."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """A replacement, tried only where the text holds `needle`: most pages hold few of the marks."""

    needle: str
    pattern: re.Pattern[str]
    replacement: str


def _rule(needle: str, pattern: str | re.Pattern[str], replacement: str) -> _Rule:
    return _Rule(needle, re.compile(pattern, re.MULTILINE), replacement)


def read_page(content: str, suffix: str) -> Page:
    """Return the page in `content`; `suffix` (".md") tells the markup, an unknown one is plain text."""
    return _READERS.get(suffix, from_plain)(content)


def from_plain(content: str) -> Page:
    """Return plain text as it is; its first line is the title where a blank line sets it apart."""
    text = _tidy(content)
    first, _, rest = text.partition("\n")
    return Page(_title(first) if rest.startswith("\n") and len(first.split()) <= 12 else "", text)


_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)
_FENCED = re.compile(r"^([ \t]*)(```+|~~~+)[^\n]*\n(.*?)(?:^[ \t]*\2[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_ATX = r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$"
_SETEXT = r"^(\S[^\n]*)\n(?:=+|-+)[ \t]*$"
_HEADING = re.compile(f"{_ATX}|{_SETEXT}", re.MULTILINE)
_MARKDOWN_RULES: tuple[_Rule, ...] = (
    _rule("<!--", r"<!--.*?-->", ""),
    _rule("![", r"!\[([^\]]*)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)", r"\1"),
    _rule("](", r"\[([^\]]+)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)", r"\1"),
    _rule("][", r"\[([^\]]+)\]\[[^\]]*\]", r"\1"),
    _rule("]:", r"^ {0,3}\[[^\]]+\]:[ \t]+\S+[^\n]*$", ""),
    _rule("<", r"<((?:https?://|mailto:)[^>\s]+)>", r"\1"),
    _rule("<", r"</?[A-Za-z][^<>\n]*>", ""),
    _rule("#", _ATX, r"\1"),
    _rule("\n=", _SETEXT, r"\1"),
    _rule("\n-", _SETEXT, r"\1"),
    _rule("---", r"^[ \t]*(?:-[ \t]*){3,}$", ""),
    _rule("***", r"^[ \t]*(?:\*[ \t]*){3,}$", ""),
    _rule("___", r"^[ \t]*(?:_[ \t]*){3,}$", ""),
    _rule("--|", r"^[ \t]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+(?:[ \t]*:?-{2,}:?[ \t]*)?$", ""),
    _rule("-- |", r"^[ \t]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+(?:[ \t]*:?-{2,}:?[ \t]*)?$", ""),
    _rule(">", r"^[ \t]{0,3}>[ \t]?", ""),
    _rule("* ", r"^([ \t]*)\*[ \t]+", r"\1- "),
    _rule("+ ", r"^([ \t]*)\+[ \t]+", r"\1- "),
    _rule("**", r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"\1"),
    _rule("__", r"__(?=\S)(.+?)(?<=\S)__", r"\1"),
    _rule("*", r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1"),
    _rule("_", r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])", r"\1"),
    _rule("~~", r"~~(?=\S)(.+?)(?<=\S)~~", r"\1"),
    _rule("`", r"(`+)(.+?)\1", r"\2"),
    _rule("\\", r"\\([\\`*_{}\[\]()#+.!|>~-])", r"\1"),
)


def from_markdown(content: str) -> Page:
    """Return the text of a Markdown page; code blocks stay as they are."""
    body, front_title = _take_front_matter(_newlines(content))
    pieces, position, heading = [], 0, ""
    for block in _FENCED.finditer(body):
        prose = body[position : block.start()]
        heading = heading or _first_heading(prose)
        pieces += [_apply(_MARKDOWN_RULES, prose), block.group(3)]
        position = block.end()
    prose = body[position:]
    heading = heading or _first_heading(prose)
    text = _tidy("".join([*pieces, _apply(_MARKDOWN_RULES, prose)]))
    return Page(_title(_apply(_MARKDOWN_RULES, heading) or front_title), text)


def _take_front_matter(content: str) -> tuple[str, str]:
    front = _FRONT_MATTER.match(content)
    if front is None:
        return content, ""
    title = _FRONT_TITLE.search(front.group(1))
    return content[front.end() :], title.group(1) if title else ""


def _first_heading(prose: str) -> str:
    if "#" not in prose and "\n=" not in prose and "\n-" not in prose:
        return ""
    found = _HEADING.search(prose)
    return (found.group(1) or found.group(2) or "") if found else ""


_RST_LINE = re.compile(r"^([=\-~^\"'`#*+.:_])\1{2,}[ \t]*$")
_RST_RULES: tuple[_Rule, ...] = (
    _rule(".. ", r"^\.\. (?:_[^\n]*:|\|[^|\n]+\| \w+::)[^\n]*$", ""),
    _rule(
        "::", r"^[ \t]*\.\. (?:code-block|code|sourcecode|highlight|image|include|toctree|contents|index)::[^\n]*$", ""
    ),
    _rule("::", r"^([ \t]*)\.\. [\w-]+::[ \t]*", r"\1"),
    _rule("   :", r"^[ \t]+:(?:maxdepth|caption|linenos|emphasize-lines|width|height|alt|name|class):[^\n]*$", ""),
    _rule("..", r"^\.\.(?:[ \t][^\n]*)?$(?:\n[ \t]+[^\n]*)*", ""),
    _rule("<", r":[\w:+-]+:`([^`<]+?)[ \t]*<[^`>]*>`", r"\1"),
    _rule(":`", r":[\w:+-]+:`(?:~[^`]*?)?([^`.~]+)`", r"\1"),
    _rule(":`", r":[\w:+-]+:`([^`]+)`", r"\1"),
    _rule("<", r"`([^`<]+?)[ \t]*<[^`>]+>`__?", r"\1"),
    _rule("``", r"``(.+?)``", r"\1"),
    _rule("`", r"`([^`\n]+)`_{0,2}", r"\1"),
    _rule("**", r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"\1"),
    _rule("*", r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", r"\1"),
    _rule("::", r"::[ \t]*$", ":"),
)


def from_rst(content: str) -> Page:
    """Return the text of a reStructuredText page."""
    lines = _newlines(content).split("\n")
    kept, title = [], ""
    for index, line in enumerate(lines):
        if _RST_LINE.match(line):
            before = lines[index - 1] if index else ""
            title = title or (before.strip() if before.strip() and not _RST_LINE.match(before) else "")
            continue
        kept.append(line)
    return Page(_title(_apply(_RST_RULES, title)), _tidy(_apply(_RST_RULES, "\n".join(kept))))


_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div", "dl", "dt"}
    | {"fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li"}
    | {"main", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"}
)
_HIDDEN = frozenset({"script", "style", "template", "noscript", "nav", "svg", "iframe", "title"})
_HEADINGS = frozenset({"h1", "h2", "h3"})


@dataclass
class _Open:
    """A title or heading that is being read."""

    tag: str
    pieces: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.titles: dict[str, str] = {}
        self._hidden: list[str] = []
        self._heading: _Open | None = None
        self._num_pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" or tag in _HEADINGS:
            self._heading = _Open(tag)
        if tag in _HIDDEN:
            self._hidden.append(tag)
        if tag in _BLOCKS:
            self.pieces.append(
                "\n\n" if tag in ("p", "pre", "table", "ul", "ol", "section") or tag in _HEADINGS else "\n"
            )
        if tag == "li":
            self.pieces.append("- ")
        if tag in ("td", "th"):
            self.pieces.append(" | ")
        self._num_pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._heading and tag == self._heading.tag:
            self.titles.setdefault("title" if tag == "title" else "heading", flatten("".join(self._heading.pieces)))
            self._heading = None
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        if tag in _BLOCKS:
            self.pieces.append("\n\n" if tag in _HEADINGS or tag in ("p", "pre") else "\n")
        if tag == "pre" and self._num_pre:
            self._num_pre -= 1

    def handle_data(self, data: str) -> None:
        if self._heading:
            self._heading.pieces.append(data)
        if not self._hidden:
            self.pieces.append(data if self._num_pre else self._inline(data))

    def _inline(self, data: str) -> str:
        text = re.sub(r"\s+", " ", data)
        is_line_start = not self.pieces or self.pieces[-1].endswith(("\n", "- "))
        return text.lstrip() if is_line_start else text


def from_html(content: str) -> Page:
    """Return the text of an HTML page without its navigation, scripts and styles."""
    reader = _Reader()
    reader.feed(_newlines(content))
    reader.close()
    title = reader.titles.get("heading") or reader.titles.get("title") or ""
    return Page(_title(title), _tidy(re.sub(r"(?m)^ \| ", "", "".join(reader.pieces))))


_READERS: dict[str, Callable[[str], Page]] = {
    ".md": from_markdown,
    ".markdown": from_markdown,
    ".rst": from_rst,
    ".html": from_html,
    ".htm": from_html,
    ".txt": from_plain,
}
SUFFIXES = frozenset(_READERS)


def _apply(rules: tuple[_Rule, ...], text: str) -> str:
    for rule in rules:
        if rule.needle in text:
            text = rule.pattern.sub(rule.replacement, text)
    return text


def _newlines(content: str) -> str:
    return content.replace("\r\n", "\n").replace("\r", "\n")


def _tidy(text: str) -> str:
    """Return `text` without trailing spaces and with at most one blank line in a row."""
    lines = "\n".join([line.rstrip() for line in _newlines(text).split("\n")])
    return (_BLANK_LINES.sub("\n\n", lines) if "\n\n\n" in lines else lines).strip("\n")


def _title(text: str) -> str:
    return flatten(text)[:MAX_TITLE]
