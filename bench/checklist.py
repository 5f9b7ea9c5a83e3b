"""One line of a checklist: what was checked, what should have come out, what came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "skip", "info"]


@dataclass(frozen=True)
class CheckRow:
    """One line of the checklist."""

    check: str
    expected: str
    got: str
    verdict: Verdict


@dataclass(frozen=True)
class Finding:
    """What one check found: None in `passed` says that there was nothing to judge."""

    what: str
    expected: str
    got: str
    passed: bool | None


def row(check: str, finding: Finding) -> CheckRow:
    """Return the line of one finding of a check."""
    verdict: Verdict = "skip" if finding.passed is None else "pass" if finding.passed else "fail"
    return CheckRow(f"{check}: {finding.what}" if finding.what else check, finding.expected, finding.got, verdict)
