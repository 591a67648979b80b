"""What Gradio gets of a function that does something: the message first, and one value where there is one output."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.errors import StorageError
from admin_ui.page import handlers
from admin_ui.page.handlers import Handlers, said

ANNA = User("anna", frozenset({"admin"}), "192.0.2.1")


@pytest.fixture
def acting(tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "get_user_from_request", lambda request: ANNA)
    return Handlers(AuditLog(tmp_path), "admin").acting


def test_one_output_gets_its_value_and_not_a_list_that_would_be_drawn_as_object(acting):
    assert acting(lambda user: [gr.skip()], outputs=0)(gr.Request()) == gr.skip()
    assert "done" in acting(lambda user: [said("done")], outputs=0)(gr.Request())


@pytest.mark.parametrize("outputs", [0, 2])
def test_an_error_is_the_message_and_all_other_outputs_stay(acting, outputs):
    def fails(user: User) -> list[Any]:
        raise StorageError("the disk is full")

    made = acting(fails, outputs=outputs)(gr.Request())
    message, *others = made if outputs else [made]

    assert "the disk is full" in message
    assert others == [gr.skip()] * outputs


@pytest.mark.parametrize("query", ["?view=jobs&job=next&confirmed=backup", "?view=logs&run=r1&confirmed=backup"])
def test_an_error_names_the_job_that_was_asked_about_whatever_is_selected_by_now(acting, query):
    def fails(user: User, text: str) -> list[Any]:
        raise StorageError("the disk is full")

    message = acting(fails, outputs=0, of_a_job=True)(gr.Request(), query)

    assert ">backup: the disk is full<" in message
