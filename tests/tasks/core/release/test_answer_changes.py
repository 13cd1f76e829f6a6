import polars as pl

from tasks.core.release.answer_changes import changed_answers


def rows(scores: dict[str, list[float | None]], kinds: list[str] | None = None) -> pl.DataFrame:
    count = len(scores["candidate"])
    return pl.concat(
        pl.DataFrame(
            {
                "item_id": [f"i{n}" for n in range(count)],
                "model": model,
                "kind": kinds or ["a"] * count,
                "question": [f"q{n}" for n in range(count)],
                "reference": "right",
                "answer": [f"{model} {n}" for n in range(count)],
                "score": values,
                "status": "ok",
            },
            schema_overrides={"score": pl.Float64},
        )
        for model, values in scores.items()
    )


def test_the_greatest_changes_come_first_and_all_are_counted():
    changes = changed_answers(
        rows({"candidate": [1.0, 0.4, 0.5, 0.0, 0.2], "champion": [0.0, 0.2, 0.5, 1.0, 0.3]}), "champion", "score", 5
    )
    assert (changes.num_gained, changes.num_lost) == (2, 2)
    assert [answer.item_id for answer in changes.gained] == ["i0", "i1"]
    assert [answer.item_id for answer in changes.lost] == ["i3", "i4"]
    first = changes.gained[0]
    assert (first.before, first.after, first.reference, first.change) == ("champion 0", "candidate 0", "right", 1.0)


def test_no_kind_of_question_takes_all_places():
    kinds = ["a"] * 8 + ["b"] * 2
    changes = changed_answers(
        rows({"candidate": [1.0] * 8 + [0.2] * 2, "base": [0.0] * 10}, kinds), "base", "score", count=4
    )
    assert [answer.kind for answer in changes.gained] == ["a", "a", "b", "b"]
    assert changes.num_gained == 10


def test_what_was_not_measured_did_not_change():
    table = rows({"candidate": [None, float("nan"), 1.0], "champion": [0.0, 0.0, 0.0]})
    late = table.with_columns(
        status=pl.when(pl.col("item_id") == "i2").then(pl.lit("timeout")).otherwise(pl.col("status"))
    )
    assert changed_answers(table, "champion", "score", 3).num_gained == 1
    assert changed_answers(late, "champion", "score", 3).num_gained == 0


def test_a_table_without_the_columns_has_no_examples():
    table = rows({"candidate": [1.0], "champion": [0.0]})
    for damaged in (table.drop("score"), table.drop("answer"), table.with_columns(score=pl.lit("1")), table.clear()):
        changes = changed_answers(damaged, "champion", "score", 3)
        assert (changes.num_gained, changes.gained, changes.lost) == (0, (), ())
    assert changed_answers(table, "champion", "score", 0).gained == ()
