"""Markup as plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.sources.markup import SUFFIXES, Page, read_page

MARKDOWN = """---
title: "Front matter"
---
<!-- a comment -->
# Refund *policy*

Money comes **back** in `14` _days_, see [the form](https://x.test "t") or ![a chart](c.png).
Keep snake_case_names and 2 * 3 * 4.<br>

> A quote

* one
+ two

| a | b |
|---|---|
| 1 | 2 |

***

```python
def f(*args):  # **not** bold
    return "`x`"
```

[form]: https://x.test
"""


def test_markdown_keeps_what_a_reader_sees() -> None:
    page = read_page(MARKDOWN, ".md")
    assert page.title == "Refund policy"
    assert "Money comes back in 14 days, see the form or a chart." in page.text
    assert "Keep snake_case_names and 2 * 3 * 4." in page.text
    assert "A quote\n\n- one\n- two\n\n| a | b |\n\n| 1 | 2 |" in page.text
    assert 'def f(*args):  # **not** bold\n    return "`x`"' in page.text
    for gone in ("---", "***", "```", "<br>", "comment", "https://", "Front matter"):
        assert gone not in page.text


def test_a_markdown_title_comes_from_the_first_heading_then_from_the_front_matter() -> None:
    assert read_page("Setext\n======\n\ntext\n\n# Other\n", ".md").title == "Setext"
    assert read_page("---\ntitle: Front\n---\nno heading", ".md").title == "Front"
    assert read_page("```\n# in code\n```\n\n# Real\n", ".md").title == "Real"
    assert read_page("no heading", ".md").title == ""


def test_an_unclosed_fence_runs_to_the_end() -> None:
    assert read_page("Text\n\n```\n**x**\n", ".md").text == "Text\n\n**x**"


RST = """
=====
Money
=====

.. _anchor:

Use :func:`~os.path.join`, :ref:`this <label>`, ``code`` or a `link <https://x.test>`_.

.. note:: Take *good* care.

.. code-block:: python
   :linenos:

   x = 1

.. a comment
   of two lines

Example::

   y = 2
"""


def test_rst_keeps_what_a_reader_sees() -> None:
    page = read_page(RST, ".rst")
    assert page.title == "Money"
    assert "Use join, this, code or a link." in page.text
    assert "Take good care." in page.text
    assert "   x = 1" in page.text
    assert "Example:\n\n   y = 2" in page.text
    for gone in ("====", "::", "comment", "anchor", ":linenos:", "https://"):
        assert gone not in page.text


HTML = """<html><head><title>Shop &amp; more</title><style>p{}</style></head><body>
<nav>Menu</nav><h1>Refund <b>policy</b></h1><p>Money comes
  <i>back</i> &mdash; soon.</p><ul><li>one<li>two</ul><pre>  a
    b</pre><table><tr><td>1</td><td>2</td></tr></table><script>no()</script></body></html>"""


def test_html_keeps_what_a_reader_sees() -> None:
    page = read_page(HTML, ".html")
    assert page.title == "Refund policy"
    assert "Money comes back — soon." in page.text
    assert "- one\n- two" in page.text
    assert "  a\n    b" in page.text
    assert "1 | 2" in page.text
    for gone in ("Menu", "p{}", "no()", "<", "Shop"):
        assert gone not in page.text


def test_html_without_a_heading_is_called_by_its_title() -> None:
    assert read_page("<title>Shop</title><p>Text", ".htm") == Page("Shop", "Text")


def test_plain_text_stays_as_it_is() -> None:
    assert read_page("Title\r\n\r\n*text*  \n\n\n\nend\n", ".txt") == Page("Title", "Title\n\n*text*\n\nend")
    assert read_page("one line\nanother", ".txt").title == ""


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
@given(content=st.text(alphabet=st.sampled_from("ab #*_`[](){}<>|!-=~:.\n\\&;/\"'"), max_size=200))
def test_any_content_gives_a_page(suffix: str, content: str) -> None:
    page = read_page(content, suffix)
    assert "\n\n\n" not in page.text
    assert "\n" not in page.title
