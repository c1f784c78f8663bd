# SPDX-License-Identifier: GPL-2.0-or-later
"""How the adapter gets into the emerge that the user has: the shim puts this directory first on
PYTHONPATH, and every Python imports a sitecustomize as it starts, whatever wrapper has started it
(python-exec, an entry point of pip). Nothing happens before Portage's scheduler is imported."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
SCHEDULER = "_emerge.Scheduler"


class AdaptingLoader(importlib.machinery.SourceFileLoader):
    """Portage's own module, and then the adapter."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        import emerge_adapter

        emerge_adapter.adapt(module)


class SchedulerFinder:
    """Until the scheduler is imported: a wrapper executes a Python once more, which needs us too.
    What emerge starts later does not."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != SCHEDULER:
            return None
        sys.meta_path.remove(cls)
        leave_environment()
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None:
            return spec
        loader = AdaptingLoader(name, spec.origin)
        return importlib.util.spec_from_file_location(name, spec.origin, loader=loader)


def leave_environment() -> None:
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if DIRECTORY in others:
        others.remove(DIRECTORY)
    if any(others):
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    else:
        os.environ.pop("PYTHONPATH", None)


def run_shadowed() -> None:
    """The sitecustomize that Python would have found."""
    elsewhere = [entry for entry in sys.path if entry != DIRECTORY]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


sys.meta_path.insert(0, SchedulerFinder)
run_shadowed()
