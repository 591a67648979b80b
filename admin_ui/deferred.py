"""Load a module only when something of it is used: Gradio imports pandas, and this page shows no data frame."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def defer(name: str) -> None:
    """Have `import name` load nothing until an attribute or a submodule of it is asked for.

    Does nothing where the module is loaded already, or not installed.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is not None:
        sys.modules[name] = _Deferred(spec)


class _Deferred(ModuleType):
    """Stands for a module in `sys.modules`.

    With importlib's LazyLoader `import` itself would load the module, as it reads `__spec__` (Python 3.11 to 3.13).
    """

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        self.__file__ = spec.origin

    def __getattr__(self, attribute: str) -> Any:
        # Not if another thread has begun: what is there now is the module itself, and importing it waits for that.
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)
