"""Findings for machines: JSON, annotations of GitHub's workflows, SARIF."""

from collections.abc import Iterable
from typing import Any

from cachepoint.cli.check.rules import RULES, Checked, Finding, Level

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB: dict[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


def as_json(checked: Checked, found: Iterable[Finding]) -> dict[str, Any]:
    """The findings of a file, and the checkpoints that the library would place."""
    saved, marks = checked.saved, checked.plan.checkpoints
    return {
        "file": str(saved.file),
        "model": saved.model,
        "form": saved.dialect,
        "tokens": checked.tokens[-1] if checked.tokens else 0,
        "findings": [one.as_dict() for one in found],
        "checkpoints": [
            {"where": c.where, "ttl": c.ttl, "reason": c.reason, "tokens": c.tokens} for c in marks
        ],
        "note": checked.plan.note,
    }


def as_github(checked: Checked, found: Iterable[Finding]) -> Iterable[str]:
    """A line for each finding, as GitHub's workflow commands are written."""
    file = _property(str(checked.saved.file))
    for one in found:
        said = _data(f"{one.where}: {one.what}. {one.remedy}")
        yield f"::{_GITHUB[one.rule.level]} file={file},line=1,title=cachepoint {one.rule.name}::{said}"


def as_sarif(checked: Checked, found: Iterable[Finding]) -> dict[str, Any]:
    """The findings as a SARIF 2.1.0 log."""
    from cachepoint import __version__

    rules = [
        {
            "id": rule.name,
            "shortDescription": {"text": rule.says},
            "defaultConfiguration": {"level": rule.level},
        }
        for rule in RULES.values()
    ]
    driver = {"name": "cachepoint", "version": str(__version__), "rules": rules}
    results = [_result(checked, one) for one in found]
    return {"$schema": _SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(checked: Checked, one: Finding) -> dict[str, Any]:
    artifact = {"uri": checked.saved.file.as_posix()}
    return {
        "ruleId": one.rule.name,
        "ruleIndex": list(RULES).index(one.rule.name),
        "level": one.rule.level,
        "message": {"text": f"{one.where}: {one.what}. {one.remedy}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": one.where}],
            }
        ],
    }


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
