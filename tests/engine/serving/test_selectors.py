"""Label and field selectors are read as Kubernetes reads them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.serving.errors import ApiError
from engine.serving.selectors import field_selector, label_selector

LABELS = {"app": "web", "workflows.argoproj.io/phase": "Running", "empty": "", "size": "7"}


@pytest.mark.parametrize(
    "selector",
    [
        "",
        " ",
        "app=web",
        "app==web",
        "app = web , size=7",
        "app!=db",
        "other!=web",
        "workflows.argoproj.io/phase in (Running, Pending)",
        "app notin (db,cache)",
        "other notin (db)",
        "app",
        "!other",
        "empty=",
        "empty in ()",
        "size>6,size<8",
        "app,!other,size in (7)",
    ],
)
def test_a_label_selector_selects(selector: str) -> None:
    assert label_selector(selector)(LABELS)


@pytest.mark.parametrize(
    "selector",
    ["app=db", "app!=web", "app in (db)", "app notin (web)", "!app", "other", "size>7", "app>1", "other=web"],
)
def test_a_label_selector_selects_not(selector: str) -> None:
    assert not label_selector(selector)(LABELS)


@pytest.mark.parametrize(
    "selector",
    [",", "app=web,", "=web", "app in", "app in (a", "app in (a b)", "app=~x", "-app", "app=web size=7", "a&b"],
)
def test_what_is_no_label_selector_is_refused_with_what_was_expected(selector: str) -> None:
    with pytest.raises(ApiError, match="labelSelector: expected") as raised:
        label_selector(selector)
    assert raised.value.status == 400


@given(st.text(max_size=60))
def test_no_text_is_more_than_a_label_selector_or_an_error(text: str) -> None:
    with suppress(ApiError):
        label_selector(text)(LABELS)


def test_a_selector_of_thousands_of_commas_is_read_in_linear_steps() -> None:
    assert label_selector(",".join(["app"] * 4000))(LABELS)
    with pytest.raises(ApiError, match="expected at most"):
        label_selector("a" * 20_000)


def test_a_field_selector_reads_names_and_namespaces() -> None:
    selected = field_selector("metadata.name=w,metadata.namespace!=blue", ("metadata.name", "metadata.namespace"))
    assert selected({"metadata.name": "w", "metadata.namespace": "red"})
    assert not selected({"metadata.name": "w", "metadata.namespace": "blue"})
    assert not selected({"metadata.name": "v", "metadata.namespace": "red"})
    assert field_selector(",metadata.name=w,", ("metadata.name",))({"metadata.name": "w"})  # as Kubernetes has it


@pytest.mark.parametrize("selector", ["spec.size=3", "metadata.name", "metadata.name=w,=", "=w"])
def test_a_field_that_nobody_selects_by_is_refused(selector: str) -> None:
    with pytest.raises(ApiError, match="fieldSelector: ") as raised:
        field_selector(selector, ("metadata.name",))
    assert raised.value.status == 400
