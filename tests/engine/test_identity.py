"""What a workflow is: its uid. What it may be called, and the names that are made up."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvalidWorkflow, Workflow
from engine.model.naming import generated_name


def document(**metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata, "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]}}


def test_a_manifest_that_is_submitted_again_is_another_workflow() -> None:
    first, second = Workflow(document(name="w")), Workflow(document(name="w"))
    assert first.uid != second.uid
    assert first.document["metadata"]["uid"] == first.uid


@pytest.mark.parametrize("uid", ["", None])
def test_a_uid_that_says_nothing_is_none(uid: str | None) -> None:
    assert len(Workflow(document(name="w", uid=uid)).uid) == 36


def test_a_workflow_that_was_written_and_read_again_is_the_same() -> None:
    first = Workflow(document(generateName="w-"))
    again = Workflow(first.to_dict())
    assert (again.uid, again.key) == (first.uid, first.key)


def test_the_uid_of_a_manifest_is_kept() -> None:
    assert Workflow(document(name="w", uid="5b0a-1")).uid == "5b0a-1"


def test_no_name_is_generated_twice() -> None:
    """Drawn at random, of so many names two would be the same with near certainty."""
    names = {generated_name("build-") for _ in range(50_000)}
    assert len(names) == 50_000
    assert all(len(name) == len("build-xxxxx") for name in names)


def test_generated_names_are_others_in_another_process() -> None:
    code = "from engine.model.naming import generated_name; print(generated_name('w-'))"
    said = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(3)}
    assert len(said) == 3


def test_a_long_prefix_is_cut_as_kubernetes_does() -> None:
    assert len(Workflow(document(generateName="w" * 100)).name) == 63


def test_a_generated_name_is_in_lower_case() -> None:
    assert Workflow(document(generateName="failFast-")).name.startswith("failfast-")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", "Build", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "a/b", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "a_b", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "-a", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "a-", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "a..b", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "a\n", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "ä", "metadata.name: expected a DNS-1123 subdomain"),
        ("name", "a" * 254, "metadata.name: expected a DNS-1123 subdomain"),
        ("generateName", "a_b-", "metadata.generateName: expected a DNS-1123 subdomain"),
        ("namespace", "Blue", "metadata.namespace: expected a DNS-1123 label"),
        ("namespace", "a.b", "metadata.namespace: expected a DNS-1123 label"),
        ("namespace", "a" * 64, "metadata.namespace: expected a DNS-1123 label"),
        ("uid", "../../etc", "metadata.uid: expected a UUID"),
        ("uid", "a b", "metadata.uid: expected a UUID"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(field: str, value: str, expected: str) -> None:
    metadata = {field: value} if field in ("name", "generateName") else {"name": "w", field: value}
    with pytest.raises(InvalidWorkflow) as refused:
        Workflow(document(**metadata))
    assert str(refused.value).startswith(expected)
    assert len(str(refused.value).splitlines()) == 1


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?){0,3}", fullmatch=True))
def test_every_subdomain_is_taken(name: str) -> None:
    assert Workflow(document(name=name)).name == name
