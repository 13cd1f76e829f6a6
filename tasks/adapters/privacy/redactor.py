"""The redactor as every part of the product uses it: all detectors, the known names, one key.

Making it takes 0.1 s (the lists of names); it has no state and may be shared by threads.
"""

import re
from collections.abc import Mapping

from tasks.core.privacy.person_names import PersonNames
from tasks.core.privacy.personal_data import PRIORITY, structured_detectors
from tasks.core.privacy.pseudonyms import Pseudonyms
from tasks.core.privacy.redaction import Redactor
from tasks.core.privacy.spans import PlainPattern


def make_redactor(key: bytes, extra_patterns: Mapping[str, str] | None = None) -> Redactor:
    """Return the redactor with pseudonyms under `key`; `extra_patterns` are a user's own classes, which win."""
    from tasks.adapters.privacy.name_recogniser import name_lists

    extra = extra_patterns or {}
    names = PersonNames(name_lists())
    own = [PlainPattern(name, re.compile(pattern)) for name, pattern in extra.items()]
    detectors = [*own, *structured_detectors(), *names.rules()]
    return Redactor(detectors, Pseudonyms(key), names.parts, (*extra, *PRIORITY))
