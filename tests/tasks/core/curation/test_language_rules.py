"""Which texts are plainly in a language."""

import polars as pl

from tasks.core.curation.language_rules import num_letters, plainly_in, prose

ENGLISH = "Return the list of names that are in the file, or None if it is empty."
GERMAN = "Die Liste der Namen wird nicht geändert, und der Aufrufer ist für eine Kopie verantwortlich."


def test_function_words_settle_the_language() -> None:
    texts = pl.Series([ENGLISH, GERMAN, "types.MappingProxyType", ""])
    assert plainly_in(prose(texts), ["en"]).to_list() == [True, False, False, False]
    assert plainly_in(prose(texts), ["de", "en"]).to_list() == [True, True, False, False]
    assert plainly_in(prose(texts), ["xx"]).to_list() == [False] * 4


def test_prose_is_the_text_without_code() -> None:
    text = "json.dumps(obj, *, indent=None)\n\nSerialize `obj` to a string; see <EMAIL_3f9a2c1d>."
    assert prose(pl.Series([text]))[0].split() == ["Serialize", "to", "a", "string;", "see"]


def test_text_without_spaces_between_words_is_prose_too() -> None:
    assert prose(pl.Series(["这是2024年的文档，它描述了如何训练模型"]))[0].startswith("这是")


def test_letters_are_counted_without_spaces() -> None:
    assert num_letters(pl.Series(["ab c", ""])).to_list() == [3, 0]
