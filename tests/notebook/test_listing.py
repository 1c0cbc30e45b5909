"""Files as a reader sees them: numbered, and as a difference that needs no colour."""

from __future__ import annotations

from pathlib import Path

from dockerlab.notebook.listing import difference, listing


def test_a_listing_numbers_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("".join(f"RUN {n}\n" for n in range(1, 11)))
    assert repr(listing(file)).splitlines()[0] == " 1 RUN 1"
    assert repr(listing(file, 9)) == " 9 RUN 9\n10 RUN 10"


def test_a_difference_marks_what_changed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("FROM a\nRUN x\n\nCMD c\n")
    new.write_text("FROM a AS b\nRUN x\n\nUSER 1\nCMD c\n")
    assert repr(difference(old, new)) == "- FROM a\n+ FROM a AS b\n  RUN x\n\n+ USER 1\n  CMD c"


def test_a_difference_can_leave_out_what_is_far_from_a_change(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("a\nb\nc\nd\ne\nf\n")
    new.write_text("a\nb\nc\nX\ne\nf\n")
    assert repr(difference(old, new, around=1)) == "  …\n  c\n- d\n+ X\n  e\n  …"


def test_html_escapes_and_keeps_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("A <b> & c\n\n")
    html = listing(file)._repr_html_()
    assert "A &lt;b&gt; &amp; c" in html and "&nbsp;" in html
