"""The house stays in order: small files, small classes, rooms that a reader can scan, a core without a clock."""

import ast
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SOURCES = [path for root in ("flows", "tasks", "tests", "docs") for path in sorted((REPOSITORY / root).rglob("*.py"))]
MAX_LINES, MAX_CLASS_LINES, MAX_FILES = 300, 150, 15


def test_no_file_is_longer_than_one_sitting() -> None:
    assert len(SOURCES) > 400
    long = {str(path.relative_to(REPOSITORY)): n for path in SOURCES if (n := len(_lines(path))) > MAX_LINES}
    assert not long, f"split by subject, at most {MAX_LINES} lines: {long}"


def test_no_class_is_longer_than_a_reader_can_hold() -> None:
    classes = [
        (f"{path.relative_to(REPOSITORY)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert len(classes) > 300
    long = {name: lines for name, lines in classes if lines > MAX_CLASS_LINES}
    assert not long, f"at most {MAX_CLASS_LINES} lines: {long}"


def test_no_folder_holds_more_files_than_a_reader_can_scan() -> None:
    counts = Counter(str(path.parent.relative_to(REPOSITORY)) for path in SOURCES if path.name != "__init__.py")
    assert len(counts) > 60
    wide = {folder: count for folder, count in counts.items() if count > MAX_FILES}
    assert not wide, f"make two rooms of it, at most {MAX_FILES} Python files each: {wide}"


def test_the_core_reads_no_clock() -> None:
    """Import contracts keep `time` out of it; what is left are the classes of datetime."""
    core = [path for path in SOURCES if path.is_relative_to(REPOSITORY / "tasks" / "core")]
    assert len(core) > 70
    reading = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for path in core
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"datetime.now", "datetime.today", "datetime.utcnow", "date.today"}
    ]
    assert not reading, f"let the caller pass the time in: {reading}"


def test_every_module_says_in_one_line_what_it_does() -> None:
    product = [path for path in SOURCES if path.relative_to(REPOSITORY).parts[0] in {"flows", "tasks"}]
    assert len(product) > 250
    silent = [
        str(path.relative_to(REPOSITORY))
        for path in product
        if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()
    ]
    assert not silent, f"begin with a docstring: {silent}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
