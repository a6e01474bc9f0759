"""What an audit says: findings by the name of their check, and the checks that passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

# Every check by its name, in the order in which they are made.
CHECKS = {
    "splits": "no pair is in two sets that must be disjoint, or twice in one",
    "content": "no query has the content of a searched or trained pair under another id",
    "repeatable": "the same pairs give the same codes again",
    "alone": "an item alone has the code that it has in a batch",
    "batch size": "an item has the same code in batches of another size",
    "shuffled": "an item has the same code in other company and order",
    "partner": "an image's code does not change with the text beside it, nor a text's",
    "two arrays": "image codes and text codes are two different things",
    "values": "codes are signs, reals without zeros, or packed bytes",
    "length": "both sides have codes of one length, a multiple of 8",
    "constant bits": "bits differ between items",
    "bit order": "both sides are packed in one order, and unpack to what was packed",
    "ties": "the figure does not hang on the order inside of ties",
    "chance": "codes rank better than a random order",
    "shuffled labels": "with labels that are shuffled, MAP is at chance",
    "epochs": "both directions are of one epoch",
    "database": "the record says which codes are searched",
}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: Its name, of :data:`CHECKS`.
        level: ``fault``: figures of this encoder mean something else than they say; ``note``: good
            to know, and no fault.
        expected: What was expected.
        found: What came.
        mend: How to mend it.
    """

    check: str
    level: Literal["fault", "note"]
    expected: str
    found: str
    mend: str

    def as_dict(self) -> dict[str, str]:
        """JSON-ready values."""
        return {
            "check": self.check,
            "level": self.level,
            "expected": self.expected,
            "found": self.found,
            "mend": self.mend,
        }


def fault(check: str, found: str, mend: str) -> Finding:
    """A finding of the level ``fault``, whose expectation is the check's own."""
    return Finding(check, "fault", CHECKS[check], found, mend)


def note(check: str, found: str, mend: str) -> Finding:
    """A finding of the level ``note``."""
    return Finding(check, "note", CHECKS[check], found, mend)


@dataclass(frozen=True, eq=False)
class Audit:
    """All that an audit found.

    Attributes:
        subject: What was audited.
        dataset: The data set that it encoded.
        protocol: Name of its split.
        split: Digest of the split.
        findings: In the order of the checks.
        skipped: Checks that were not made, and why.
        figures: What was measured: MAP of both directions as ``evaluate`` has it, chance, ties.
    """

    subject: str
    dataset: str
    protocol: str
    split: str
    findings: tuple[Finding, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Findings that are no mere notes."""
        return tuple(one for one in self.findings if one.level == "fault")

    @property
    def passed(self) -> tuple[str, ...]:
        """Checks that were made and found no fault."""
        failed = {one.check for one in self.faults}
        return tuple(name for name in CHECKS if name not in failed and name not in self.skipped)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "subject": self.subject,
            "dataset": self.dataset,
            "protocol": self.protocol,
            "split": self.split,
            "faults": len(self.faults),
            "findings": [one.as_dict() for one in self.findings],
            "passed": list(self.passed),
            "skipped": self.skipped,
            "figures": self.figures,
        }
