"""The upstreams of this site, built from `LOA["UPSTREAMS"]` when first asked for.

An entry is `{"class": "dotted.path", **arguments}`. The class is called with the entry's name and its other keys;
what it builds is kept for as long as the entry stays the same, so that connections are reused. A site that names
no upstream has the demonstration model, so that everything works before the first key is configured.
"""

import json
import threading
from collections.abc import Mapping
from typing import Final, cast

from django.utils.module_loading import import_string

from inference.domain.errors import UpstreamUnavailable
from inference.upstreams.base import Upstream
from telemetry.configuration import loa

BUILT_IN: Final[Mapping[str, Mapping[str, object]]] = {"demo": {"class": "inference.demo.upstream.DemoUpstream"}}

_built: dict[str, tuple[str, Upstream]] = {}
_lock = threading.Lock()


def configured_upstreams() -> Mapping[str, Mapping[str, object]]:
    """The entries of `LOA["UPSTREAMS"]`, or the built-in one where there are none."""
    return loa("UPSTREAMS") or BUILT_IN


def is_configured(name: str) -> bool:
    """Whether there is an upstream of this name."""
    return name in configured_upstreams()


def upstream(name: str) -> Upstream:
    """The upstream of this name. Raises UpstreamUnavailable when it is not configured."""
    entry = configured_upstreams().get(name)
    if entry is None:
        raise UpstreamUnavailable(name, "not configured")
    fingerprint = json.dumps(entry, sort_keys=True)
    with _lock:
        kept = _built.get(name)
        if kept is None or kept[0] != fingerprint:
            arguments = {key: value for key, value in entry.items() if key != "class"}
            built = import_string(str(entry["class"]))(name=name, **arguments)
            kept = _built[name] = (fingerprint, cast(Upstream, built))
        return kept[1]
