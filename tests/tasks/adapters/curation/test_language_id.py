"""Language identification: other languages are told, code is not."""

import polars as pl
import pytest

from tasks.adapters.curation.language_id import LanguageIdentifier

ENGLISH = "Return the list of names that are in the file, or None if it is empty."
OTHERS = {
    "de": "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann weiter durch den Wald.",
    "fr": "Ce document décrit la procédure de remboursement applicable aux clients européens de la société.",
    "es": "Este documento describe el procedimiento de reembolso que se aplica a los clientes de la empresa.",
    "it": "Il sistema consente di configurare la rete aziendale in pochi passaggi guidati dalla procedura.",
    "zh": "这是一个关于机器学习的文档，它描述了如何训练模型以及如何评估它们的性能和质量。" * 2,
    "ru": "Этот документ описывает порядок возврата средств для клиентов компании в Европе.",
}
CODE = [
    "types.MappingProxyType.get(key, default=None, /)\n    D.get(k[,d]) -> D[k] if k in D, else d.",
    "class cProfile.Stats(tottime: float, cumtime: float, strip_dirs: str, percall_tottime: float)",
    "module json.encoder\n\nImplementation of JSONEncoder",
    "errno.EADDRNOTAVAIL errno.ECONNABORTED errno.EHOSTUNREACH",
    "lorem = ipsum(dolor, sit=amet)",
]


@pytest.fixture(scope="module")
def english() -> LanguageIdentifier:
    return LanguageIdentifier(["en"], 0.6)


@pytest.mark.parametrize("code", OTHERS)
def test_another_language_is_named(english: LanguageIdentifier, code: str) -> None:
    assert english.foreign(pl.Series([OTHERS[code]]))[0] == code
    assert LanguageIdentifier(["en", code], 0.6).foreign(pl.Series([OTHERS[code]]))[0] == ""


def test_english_code_and_short_texts_are_accepted(english: LanguageIdentifier) -> None:
    texts = [ENGLISH, *CODE, "", "Ja, gut.", None]
    assert english.foreign(pl.Series(texts, dtype=pl.String)).to_list() == [""] * len(texts)
