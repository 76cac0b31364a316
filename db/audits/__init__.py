"""Audits: random samples of a crawl, drawn and recorded before anybody looks at a picture.

    from db import audits

    audit = audits.start(engine, audits.Plan("spring", "model-1", ...), by="mara")
    for picture in audits.pictures(engine, audit.id):
        print(picture.label, picture.human_label)

Answers are corrections like any other (`db.corrections`, `review apply`). What a report makes of
them is in `cascade.evaluation.audit`; `keep_report` stores it.
"""

from db.audits.drawing import ALL, ALL_SURE, Counted, counted, key
from db.audits.log import (
    Audit,
    AuditPicture,
    Plan,
    audits,
    judged_at,
    keep_report,
    latest,
    pictures,
    population_of,
    start,
)

__all__ = ["ALL", "ALL_SURE", "Audit", "AuditPicture", "Counted", "Plan"]
__all__ += ["audits", "counted", "judged_at", "keep_report", "key", "latest", "pictures"]
__all__ += ["population_of", "start"]
