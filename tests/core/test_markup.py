"""Tables in a notebook: which cells stand at the left, through a real IPython."""

from __future__ import annotations

import re

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from dockerlab.core import markup

FRAME = pd.DataFrame(
    {"step": ["COPY . .", "RUN x"], "seconds": [1.5, 2.0], "cached": [True, False]}, index=["a", "b"]
)


def _left(html: str) -> list[str]:
    return re.findall(r'<t[dh] style="text-align: left">(.*?)</t[dh]>', html)


def test_words_stand_left_and_numbers_right() -> None:
    html = markup.words_left(FRAME)
    assert _left(html) == ["", "step", "cached", "a", "COPY . .", "True", "b", "RUN x", "False"]
    assert re.sub(' style="text-align: left"', "", html) == FRAME._repr_html_()


def test_a_named_index_and_mixed_columns() -> None:
    html = markup.words_left(
        pd.DataFrame({"outcome": ["yes"], "guess": [3]}, index=pd.Index(["q"], name="question"))
    )
    assert _left(html) == ["", "outcome", "question", "", "q", "yes"]


def test_what_cannot_be_told_apart_stays_as_it_is() -> None:
    wide = pd.DataFrame({str(number): ["x"] for number in range(40)})
    with pd.option_context("display.max_columns", 5):
        assert markup.words_left(wide) == wide._repr_html_()
    assert markup.words_left(pd.DataFrame()) == pd.DataFrame()._repr_html_()
    with pd.option_context("display.notebook_repr_html", False):
        assert markup.words_left(FRAME) is None


def test_dollars_make_no_formula() -> None:
    html = markup.words_left(pd.DataFrame({"step": ["RUN echo $HOME, $0"]}))
    assert "<span>$</span>HOME, <span>$</span>0" in html


def test_backticks_are_code_and_the_rest_is_escaped() -> None:
    assert markup.with_code("use `a <b>` & c") == "use <code>a &lt;b&gt;</code> &amp; c"


def test_a_notebook_shows_every_table_so() -> None:
    shell = InteractiveShell()
    markup.in_notebooks(shell)
    formatted, _ = shell.display_formatter.format(FRAME)
    assert formatted["text/html"] == markup.words_left(FRAME) and formatted["text/plain"] == repr(FRAME)
