"""The review page: self-contained, nothing in it but text, and its forms say what the gateway has to know."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.feedback.review_queue import ReviewItem, item_for
from tasks.core.feedback.rules import FeedbackRefusedError
from tasks.serving.pages.review_page import PostedLabel, read_label, render
from tests.tasks.answers import answer

VOID = {"meta", "input", "br"}
NASTY = "\"><script>alert(1)</script></textarea><img src=x onerror=alert(1)>' {{ 7*7 }} &lt;b&gt;"


def item(**changes: Any) -> ReviewItem:
    values: dict[str, Any] = {
        "answer_id": "a1", "at": "2026-05-01T10:20:00+00:00", "model": "m" * 64, "question": "How long?",
        "answer": "Two days.", "proposal": None, "document_ids": ("d1", "d2"), "score": 2.0,
        "reasons": ("Its topic has drifted.",), "similar": 0,
    }  # fmt: skip
    return ReviewItem(**{**values, **changes})


class Page(HTMLParser):
    """Reads a page as a browser does: its tags balance, its forms would post so many fields."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.actions: list[str] = []
        self.buttons: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.attributes: set[str] = set()
        self._area = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append(tag)
        self.attributes |= values.keys()
        if tag not in VOID:
            self.open.append(tag)
        if tag == "form":
            self.forms.append({})
            self.actions.append(values["action"])
        if tag == "input":
            self.forms[-1][values["name"]] = values.get("value", "")
        if tag == "button":
            self.buttons.append((values["name"], values["value"]))
        if tag == "textarea":
            self._area = values["name"]
            self.forms[-1][self._area] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["textarea"]:
            self.forms[-1][self._area] += data.removeprefix("\n")  # as HTML says of the first line break
        elif self.open[-1:] not in ([], ["style"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_needs_no_network_and_no_script() -> None:
    html = render([item()], action="/review", token="t")
    assert not re.search(r"https?://|<script|<link|@import|url\(|src=", html)


def test_each_answer_is_a_form_with_all_that_a_label_needs() -> None:
    page = Page(render([item(), item(answer_id="a2", proposal="Three days.")], action="/review", token="t0ken"))
    assert page.actions == ["/review", "/review"]
    assert page.forms == [
        {"token": "t0ken", "answer_id": "a1", "text": "Two days.", "reason": ""},
        {"token": "t0ken", "answer_id": "a2", "text": "Three days.", "reason": ""},
    ]
    assert page.buttons == [("label", name) for name in ("accept", "correct", "reject")] * 2
    for words in ("How long?", "Its topic has drifted.", "A user proposes", "Accept the answer", "Accept the proposal"):
        assert words in page.text
    assert "d1 , d2" in page.text
    assert "mmmmmmmmmmmm" in page.text
    assert "m" * 13 not in page.text


def test_no_field_sends_the_form_by_itself() -> None:
    html = render([item()], action="/review", token="t")
    assert re.findall(r'<input type="(\w+)"', html) == ["hidden", "hidden"]


def test_an_empty_queue_says_so() -> None:
    page = Page(render([], action="/review", token="t"))
    assert "No answer is worth a label now." in page.text
    assert page.forms == []


def test_what_was_just_done_is_said_and_twins_are_counted() -> None:
    page = Page(render([item(similar=1), item(similar=4)], action="/review", token="t", notice="a0 is accepted."))
    assert "a0 is accepted." in page.text
    assert "It stands for 1 more answer to" in page.text
    assert "It stands for 4 more answers to" in page.text


@pytest.mark.parametrize("field", ["answer_id", "at", "model", "question", "answer", "proposal"])
def test_whatever_stands_in_a_record_stays_text(field: str) -> None:
    assert_plain(render([item(**{field: NASTY})], action="/review", token="t"))


def test_reasons_documents_token_action_and_notice_stay_text() -> None:
    nasty = item(reasons=(NASTY,), document_ids=(NASTY,))
    assert_plain(render([nasty], action=f"/review?{NASTY}", token=NASTY, notice=NASTY))


def assert_plain(html: str) -> None:
    """Check that the page has the tags and attributes of a harmless one, and nothing was evaluated."""
    harmless = Page(render([item(proposal="Three days.")], action="/review", token="t", notice="Done."))
    page = Page(html)
    assert set(page.tags) <= set(harmless.tags)
    assert page.attributes <= harmless.attributes
    assert page.tags.count("form") == 1
    assert "49" not in page.text.replace("3f9a2c1d", "")


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("<>&\"'{}%/\n")))
def test_a_text_comes_back_from_its_form_as_it_went_in(text: str) -> None:
    page = Page(render([item(answer=text)], action="/review", token=text.replace("\n", " ")))
    assert page.forms[0]["text"] == text
    assert page.forms[0]["token"] == text.replace("\n", " ")


def test_what_the_form_posts_is_a_label() -> None:
    posted = {"token": "t", "answer_id": "a1", "label": "correct", "text": "Three\r\ndays.", "reason": "rule 7"}
    assert read_label(posted) == PostedLabel("a1", "correct", "Three\ndays.", "rule 7")
    assert read_label({"answer_id": "a1", "label": "reject"}) == PostedLabel("a1", "reject", "", "")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({}, "names no answer or no label"),
        ({"answer_id": "a1", "label": "jane.doe@corp.example"}, "names no answer or no label"),
        ({"label": "accept"}, "names no answer or no label"),
        ({"answer_id": "a1", "label": "correct", "text": "x" * 4001}, "too long"),
        ({"answer_id": "a1", "label": "reject", "reason": "x" * 1001}, "too long"),
    ],
)
def test_a_form_that_is_no_label_is_refused_and_not_repeated(form: dict[str, str], sentence: str) -> None:
    with pytest.raises(FeedbackRefusedError, match=sentence) as caught:
        read_label(form)
    assert "jane" not in str(caught.value)
    assert caught.value.kind == "invalid_request_error"


def test_an_item_made_from_a_record_can_be_shown() -> None:
    assert "What is json.dumps?" in Page(render([item_for(answer(), [])], action="/r", token="t")).text
