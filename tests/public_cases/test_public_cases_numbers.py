"""Every number of the list of public cases (first those that were wrong, then those that were right), and the file that tests it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHERE = {
    "test_public_cases_dockerfile.py": "D01 D02 D04 D05 D06 D09 D14 D16 D17 D21 D22 D22c D23 D24 D25 D28 C01 C02 C03 C05 C06 C10 B01 B03 B05 X01 "
    "D05b D10 D11 D12 D13 D18 D19 D20 D26 D27 D29 C08 C09 C11",
    "test_public_cases_ignore.py": "I01 I02 I03 I04 I06 I07 I08 I10 I11 I13 I14 I25",
    "test_public_cases_tars.py": "T01 T02 T04 T05 T05c T06 T11b T18 T20 T02a T03 T09 T10 T11 T12 T14 T15 T17 T23 T28",
    "test_public_cases_secrets.py": "L01 L02 L04 L05",
    "../../assets/detection-api/tests/test_pictures.py": "P01 P02 P04 P05 P10 P11 P12 P13 P14 P15",
    "test_public_cases_engine.py": "E01 E01b E02 E03 E05 E07 E11 E14 E16 E08 E09 E10",
    "test_public_cases_reports.py": "S01 S02 S03 S04 S05 V01 V02 V04 M01 M03 G01 S06",
    "../images/test_ignore_rules.py": "G02",
}
# Cases that are data: a test takes each key of this file.
KEYS = {"test_public_cases_ignore.py": ROOT / "tests/data/cases/ignore/sent.json"}


@pytest.mark.parametrize("file", WHERE)
def test_every_number_stands_where_it_is_tested(file: str) -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "tests/public_cases" / file, KEYS.get(file))
        if path
    )
    there = set(re.findall(r"(?<![A-Za-z0-9])[A-Z]\d\d[a-z]?(?![A-Za-z0-9])", text))
    assert [number for number in WHERE[file].split() if number not in there] == []


def test_no_case_is_forgotten() -> None:
    numbers = " ".join(WHERE.values()).split()
    assert len(numbers) == len(set(numbers)) == 68 + 43
