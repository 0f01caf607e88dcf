"""The audit for other programs."""

from data_pipelines.doctor.auditing import Audit
from data_pipelines.doctor.checks import sizes
from data_pipelines.doctor.measuring.findings import ERROR


def as_json(audit: Audit) -> dict:
    """A tree of plain values: {dataset, source, quick, ok, splits: {train: {...}}, findings: [...]}."""
    return {
        "dataset": audit.dataset,
        "source": str(audit.root),
        "quick": audit.quick,
        "ok": not audit.count(ERROR),
        "splits": {split: _split(audit, split) for split in audit.splits},
        "findings": [
            {
                "severity": finding.severity,
                "check": finding.check,
                "split": finding.split,
                "message": finding.message,
                "advice": finding.advice,
                "count": finding.count,
                "files": [str(path) for path in finding.files],
            }
            for finding in audit.findings
        ],
    }


def _split(audit: Audit, split: str) -> dict:
    audited = audit.splits[split]
    names = (*audited.inventory.class_names, "void")
    counts = audited.class_counts()[:, [*range(len(names) - 1), -1]]
    return {
        "pictures": len(audited.inventory.examples),
        "labels": sum(1 for _ in audited.labels()),
        "decoded": audited.num_decoded,
        "checks": {
            name: {"severity": outcome.severity or "ok", "summary": outcome.summary}
            for name, outcome in audit.outcomes[split].items()
        },
        "sizes": {f"{w}x{h}": count for (w, h), count in sizes.distribution(audited).most_common()},
        "class_pixels": dict(zip(names, counts.sum(axis=0).tolist(), strict=True)),
        "class_pictures": dict(zip(names, (counts > 0).sum(axis=0).tolist(), strict=True)),
        "fingerprints": dict(audit.fingerprints.get(split, {})),
    }
