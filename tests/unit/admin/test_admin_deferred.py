"""A module that was put off is loaded by its first use, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from admin_ui.deferred import defer


def printed(program: str) -> str:
    """Return what a program prints in a process of its own, where nothing is loaded yet."""
    command = [sys.executable, "-c", f"import sys\nfrom admin_ui.deferred import defer\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_of_a_module_that_was_put_off_loads_nothing() -> None:
    assert printed("defer('decimal'); import decimal; print('_decimal' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "use",
    [
        "import decimal; print(decimal.Decimal(1) + 1, decimal is not sys.modules['decimal'])",
        "from decimal import Decimal; print(Decimal(1) + 1, True)",
        "import decimal; import decimal as again; print(decimal.Decimal(1) + again.Decimal(1), True)",
    ],
)
def test_its_first_use_loads_it(use: str) -> None:
    assert printed(f"defer('decimal'); {use}") == "2 True"


def test_its_submodules_can_be_imported() -> None:
    assert printed("defer('xml'); from xml.dom import minidom; print(minidom.parseString('<a/>').toxml())").endswith(
        "<a/>"
    )


def test_what_it_does_not_have_is_missing_as_ever() -> None:
    assert printed("defer('decimal'); import decimal; print(hasattr(decimal, 'nothing'))") == "False"


def test_it_is_found_where_it_lies() -> None:
    program = "from importlib.util import find_spec\ndefer('decimal'); print(find_spec('decimal').name)"
    assert printed(program) == "decimal"


def test_nothing_stands_for_a_module_that_is_loaded_or_not_installed() -> None:
    before = sys.modules["subprocess"]
    defer("subprocess")
    defer("no_such_module")

    assert sys.modules["subprocess"] is before
    assert "no_such_module" not in sys.modules


def test_two_threads_may_be_the_first_to_use_it() -> None:
    program = """
defer('decimal')
import decimal, threading
gate, found = threading.Barrier(8), []
def use():
    gate.wait()
    found.append(decimal.Decimal)
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""
    assert printed(program) == "8 1"
