"""Modules are imported without their side effects."""

import sys
from pathlib import Path

import pytest

from tasks.adapters.sources.python_docs.modules import LEFT_OUT, standard_library, walk


def test_the_standard_library_is_its_public_modules() -> None:
    names = standard_library()
    assert {"json", "os", "os.path", "builtins", "xml"} <= set(names)
    assert names == sorted(names)
    assert not set(names) & set(LEFT_OUT)
    assert not any(name.startswith("_") for name in names)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "noisy_package"
    for name, code in {
        "__init__": "",
        "good": "import warnings; warnings.warn('old', DeprecationWarning); print('hello')",
        "leaves": "raise SystemExit(3)",
        "breaks": "import not_there",
        "_private": "",
        "__main__": "raise RuntimeError",
        "tests/__init__": "raise RuntimeError",
        "below/__init__": "",
        "below/deep": "",
    }.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return "noisy_package"


def test_noise_and_failures_stay_inside(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name, _ in walk([package], lambda name: True)]
    assert names == [package, f"{package}.below", f"{package}.below.deep", f"{package}.good"]
    assert capsys.readouterr() == ("", "")


def test_unwanted_modules_are_not_even_imported(package: str) -> None:
    names = [name for name, _ in walk([package], lambda name: not name.endswith("below"))]
    assert f"{package}.below.deep" not in names
    assert f"{package}.below" not in sys.modules
