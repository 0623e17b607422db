"""Every target by its name."""

from __future__ import annotations

from fuzz import (
    attestation_targets,
    bitcoin_targets,
    charms_targets,
    file_targets,
    host_targets,
    wire_targets,
    zk_targets,
)
from fuzz.target import Target

_MODULES = (
    bitcoin_targets,
    charms_targets,
    zk_targets,
    wire_targets,
    host_targets,
    file_targets,
    attestation_targets,
)

TARGETS: dict[str, Target] = {
    target.name: target for module in _MODULES for target in module.TARGETS
}
