"""What reasons of Events and conditions of Nodes mean: severity, family, a sentence, causes, what to look at first.

Whoever is called at night reads `FailedMount` and needs to know what that means for the service, how bad it is
and where to look. Kubernetes does not say: half of what is bad is of the type Normal (`NodeNotReady`), and much of
what is a Warning is not (`KubeletStart`). So the knowledge stands here, as data in English and Chinese, with
tests; users change and extend it in their configuration. docs/catalog.md is the list for people.
"""

from eventer.catalog.catalog import Catalog, shipped
from eventer.catalog.conditions import OTHER, condition
from eventer.catalog.reasons import reason
from eventer.catalog.types import Condition, Family, Language, Reason, Severity, Text
from eventer.catalog.words import Advice, advice, fill, language

__all__ = [
    "OTHER",
    "Advice",
    "Catalog",
    "Condition",
    "Family",
    "Language",
    "Reason",
    "Severity",
    "Text",
    "advice",
    "condition",
    "fill",
    "language",
    "reason",
    "shipped",
]
