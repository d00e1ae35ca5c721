"""WorkflowTemplates and ClusterWorkflowTemplates are kept, validated and used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from engine import Workflow
from engine.reconciling import building
from engine.serving import admission
from engine.storage.memory import MemoryStore
from engine.validation import validate
from tests.serving.keeping import LEAF, SPEC, served

NAMESPACED, CLUSTER = "workflow-templates/default", "cluster-workflow-templates"
KINDS = {NAMESPACED: "WorkflowTemplate", CLUSTER: "ClusterWorkflowTemplate"}

both = pytest.mark.parametrize("path", [NAMESPACED, CLUSTER])


def template(name: str = "build", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": SPEC}


@both
async def test_one_is_kept_with_what_the_server_says_of_it(path: str) -> None:
    async with served() as it:
        made = await it.ok("POST", path, {"template": template(labels={"app": "web"})})
        assert (made["apiVersion"], made["kind"]) == ("argoproj.io/v1alpha1", KINDS[path])
        metadata = made["metadata"]
        assert (metadata["name"], metadata["labels"]) == ("build", {"app": "web"})
        assert metadata.get("namespace") == ("default" if path == NAMESPACED else None)
        assert (metadata["creationTimestamp"], metadata["generation"]) == ("2026-03-02T09:00:00Z", 1)
        assert len(metadata["uid"]) == 36
        assert int(metadata["resourceVersion"]) > 0
        assert await it.ok("GET", f"{path}/build") == made


@both
async def test_what_refers_to_a_large_one_is_looked_at_and_begun_in_another_thread(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, seen = threading.get_ident(), list[bool]()

    def looking(*arguments: Any) -> None:
        seen.append(threading.get_ident() == here)
        validate(*arguments)

    for module in (admission, building):
        monkeypatch.setattr(module, "validate", looking)
    tasks = [{"name": f"t{number}", "template": "leaf"} for number in range(2000)]
    spec = {"entrypoint": "main", "templates": [{"name": "main", "dag": {"tasks": tasks}}, LEAF]}
    async with served() as it:
        made = await it.ok("POST", path, {"template": {"metadata": {"name": "build"}, "spec": spec}})
        assert made["spec"] == spec
        assert await it.ok("GET", f"{path}/build") == made
        submitted = {"resourceKind": KINDS[path], "resourceName": "build", "submitOptions": {"name": "one"}}
        await it.ok("POST", "workflows/default/submit", submitted)
        await it.engine.run()
        found = await it.ok("GET", "workflows/default/one")
    assert found["status"]["phase"] == "Succeeded"
    assert seen == [False, False]


@both
async def test_what_only_a_server_says_is_not_a_clients_to_say(path: str) -> None:
    async with served() as it:
        given = template(uid="mine", resourceVersion="77", creationTimestamp="2000-01-01T00:00:00Z", generation=9)
        metadata = (await it.ok("POST", path, {"template": given}))["metadata"]
        assert metadata["uid"] != "mine"
        assert metadata["generation"] == 1


@both
async def test_another_one_takes_its_place(path: str) -> None:
    async with served() as it:
        made = await it.ok("POST", path, {"template": template()})
        changed = {**made, "spec": {**SPEC, "parallelism": 1}}
        updated = await it.ok("PUT", f"{path}/build", {"template": changed})
        assert updated["spec"]["parallelism"] == 1
        assert updated["metadata"]["generation"] == 2
        for field in ("uid", "creationTimestamp"):
            assert updated["metadata"][field] == made["metadata"][field]
        labelled = {"metadata": {"labels": {"a": "b"}}, "spec": updated["spec"]}
        again = await it.ok("PUT", f"{path}/build", {"template": labelled})
        assert again["metadata"]["generation"] == 2
        assert again["metadata"]["labels"] == {"a": "b"}


@both
async def test_who_read_it_before_another_changed_it_is_refused(path: str) -> None:
    async with served() as it:
        made = await it.ok("POST", path, {"template": template()})
        await it.ok("PUT", f"{path}/build", {"template": made})
        status, code, message = await it.refused("PUT", f"{path}/build", {"template": made})
        assert (status, code) == (409, 6)
        assert message.startswith(
            f'Operation cannot be fulfilled on {KINDS[path].lower()}s.argoproj.io "build": the object has been modified'
        )


@both
async def test_one_is_deleted(path: str) -> None:
    async with served() as it:
        made = await it.ok("POST", path, {"template": template()})
        precondition = {"deleteOptions.preconditions.uid": "another"}
        assert (await it.refused("DELETE", f"{path}/build", **precondition))[:2] == (409, 10)
        await it.ok("DELETE", f"{path}/build", **{"deleteOptions.dryRun": "All"})
        assert await it.ok("GET", f"{path}/build") == made
        assert await it.ok("DELETE", f"{path}/build") == {}
        for method in ("GET", "DELETE"):
            found = await it.refused(method, f"{path}/build")
            assert found == (404, 5, f'{KINDS[path].lower()}s.argoproj.io "build" not found')


class Waiting(MemoryStore):
    """Lets a document wait until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def put(self, kind: str, namespace: str, name: str, document: Mapping[str, Any]) -> int:
        self.asked.set()
        await self.go_on.wait()
        return await super().put(kind, namespace, name, document)


@both
async def test_what_changes_meanwhile_is_not_deleted_for_what_it_was(path: str) -> None:
    async with served(store := Waiting()) as it:
        made = await it.ok("POST", path, {"template": template()})
        store.asked.clear()
        store.go_on.clear()
        change = asyncio.create_task(it.ask("PUT", f"{path}/build", {"template": template(labels={"a": "b"})}))
        await store.asked.wait()
        version = {"deleteOptions.preconditions.resourceVersion": made["metadata"]["resourceVersion"]}
        deletion = asyncio.create_task(it.ask("DELETE", f"{path}/build", **version))
        await it.ok("GET", path)  # the deletion has come by now
        store.go_on.set()
        assert (await change)[0] == 200
        assert (await deletion)[0] == 409
        assert (await it.ok("GET", f"{path}/build"))["metadata"]["labels"] == {"a": "b"}


@both
async def test_what_is_only_tried_is_not_kept(path: str) -> None:
    async with served() as it:
        linted = await it.ok("POST", f"{path}/lint", {"template": template()})
        assert linted["spec"] == SPEC
        tried = await it.ok("POST", path, {"template": template(), "createOptions": {"dryRun": ["All"]}})
        assert tried["metadata"]["name"] == "build"
        assert (await it.ok("GET", path))["items"] == []


async def test_lists_are_selected_and_go_by_pages() -> None:
    async with served() as it:
        for namespace, name in (("b", "one"), ("a", "two"), ("a", "one"), ("a", "three")):
            labels = {"odd": "yes"} if name != "two" else {}
            path = f"workflow-templates/{namespace}"
            await it.ok("POST", path, {"template": template(name, labels=labels)})

        async def names(namespace: str, **query: str) -> list[str]:
            found = await it.ok("GET", f"workflow-templates/{namespace}", **query)
            assert (found["kind"], found["apiVersion"]) == ("WorkflowTemplateList", "argoproj.io/v1alpha1")
            return [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found["items"]]

        assert await names("") == ["a/one", "a/three", "a/two", "b/one"]
        assert await names("a") == ["a/one", "a/three", "a/two"]
        assert await names("c") == []
        assert await names("", **{"listOptions.labelSelector": "odd=yes"}) == ["a/one", "a/three", "b/one"]
        assert await names("", **{"listOptions.fieldSelector": "metadata.name=one"}) == ["a/one", "b/one"]
        assert await names("", namePattern="t") == ["a/three", "a/two"]
        first = await it.ok("GET", "workflow-templates/", **{"listOptions.limit": "3"})
        assert first["metadata"]["remainingItemCount"] == 1
        token = {"listOptions.limit": "3", "listOptions.continue": first["metadata"]["continue"]}
        assert await names("", **token) == ["b/one"]


@both
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"metadata": {"name": "a"}}, "spec: expected a mapping, got nothing"),
        ({"metadata": {"name": "a"}, "spec": []}, "spec: expected a mapping, got a list"),
        ({"metadata": {"name": "a"}, "spec": {"templates": {}}}, "spec.templates: expected a list, got a mapping"),
        (
            {"metadata": {"name": "a"}, "spec": {"templates": [LEAF, LEAF]}},
            "spec.templates[1].name 'leaf' is not unique",
        ),
        ({"metadata": {"name": "a"}, "spec": {**SPEC, "entrypoint": "gone"}}, "template name 'gone' undefined"),
        ({"metadata": {"name": "A!"}, "spec": SPEC}, "template.metadata.name: expected a DNS-1123 subdomain"),
        ({"metadata": {"name": 5}, "spec": SPEC}, "template.metadata.name: expected a string, got a whole number"),
        (
            {"metadata": {"name": "a", "labels": []}, "spec": SPEC},
            "template.metadata.labels: expected a mapping, got a list",
        ),
        ({"metadata": [], "spec": SPEC}, "template.metadata: expected a mapping, got a list"),
        ({"spec": SPEC}, "template.metadata.name: expected a DNS-1123 subdomain"),
        ({"kind": "Workflow", "metadata": {"name": "a"}, "spec": SPEC}, "template.kind: expected"),
        ({"apiVersion": "v1", "metadata": {"name": "a"}, "spec": SPEC}, "template.apiVersion: expected"),
        (
            {"metadata": {"name": "n" * 64}, "spec": SPEC},
            f'workflow template name "{"n" * 64}" must not be more than 63 characters long (currently 64)',
        ),
        (
            {"metadata": {"name": "a"}, "spec": {"templates": [{**LEAF, "steps": [[{"nmae": "x"}]]}]}},
            "spec.templates[0].steps[0][0].nmae: unknown field, is it 'name'?",
        ),
    ],
)
async def test_what_is_no_template_is_refused(path: str, document: dict[str, Any], message: str) -> None:
    async with served() as it:
        for operation in (path, f"{path}/lint"):
            status, code, found = await it.refused("POST", operation, {"template": document})
            assert (status, code) == (400, 3)
            assert found.removeprefix("cluster ").startswith(message)
        await it.ok("POST", path, {"template": template("a")})
        changed = {**document, "metadata": {"name": "a"}}
        if "spec" in message:
            assert (await it.refused("PUT", f"{path}/a", {"template": changed})) == (400, 3, found)
        assert (await it.ok("GET", f"{path}/a"))["spec"] == SPEC


@both
async def test_bodies_and_names_that_do_not_fit(path: str) -> None:
    async with served() as it:
        assert await it.refused("POST", path, {}) == (400, 3, "template body not specified")
        assert await it.refused("POST", path, []) == (400, 3, "body: expected a mapping, got a list")
        assert await it.refused("POST", path, {"template": 5}) == (
            400,
            3,
            "body: template: expected a mapping, got a whole number",
        )
        await it.ok("POST", path, {"template": template()})
        kind = f"{KINDS[path].lower()}s.argoproj.io"
        assert await it.refused("POST", path, {"template": template()}) == (409, 6, f'{kind} "build" already exists')
        assert await it.refused("PUT", f"{path}/build", {"template": template("other")}) == (
            400,
            3,
            "the name of the object (other) does not match the name on the URL (build)",
        )
        assert await it.refused("PUT", f"{path}/gone", {"template": template("gone")}) == (
            404,
            5,
            f'{kind} "gone" not found',
        )
        for query, told in (
            ({"listOptions.labelSelector": "a in b"}, "labelSelector: "),
            ({"listOptions.fieldSelector": "spec.x=1"}, "fieldSelector: field label not supported: spec.x"),
            ({"listOptions.limit": "-1"}, "listOptions.limit: expected a number"),
            ({"listOptions.continue": "what"}, "listOptions.continue: expected what a list has told"),
        ):
            status, code, message = await it.refused("GET", path, None, **query)
            assert (status, code) == (400, 3)
            assert message.startswith(told)


async def test_namespaces_that_do_not_fit() -> None:
    async with served() as it:
        status, code, message = await it.refused("POST", NAMESPACED, {"template": template(namespace="other")})
        assert (status, code) == (400, 3)
        assert message.startswith("the namespace of the provided object does not match the namespace sent")
        assert (await it.refused("POST", "workflow-templates/Upper", {"template": template()}))[:2] == (400, 3)


async def test_a_name_is_generated() -> None:
    async with served() as it:
        made = await it.ok("POST", NAMESPACED, {"template": {"metadata": {"generateName": "build-"}, "spec": SPEC}})
        assert made["metadata"]["name"].startswith("build-")


async def test_the_next_workflow_is_made_of_the_template_as_it_is_then() -> None:
    async with served() as it:
        await it.ok("POST", NAMESPACED, {"template": template()})

        async def run(name: str) -> str:
            reference = {"workflowTemplateRef": {"name": "build"}}
            workflow = Workflow({"metadata": {"name": name}, "spec": reference})
            await it.engine.run([workflow])
            return workflow.phase + workflow.message

        assert await run("first") == "Succeeded"
        broken = {**SPEC, "entrypoint": "other", "templates": [{**LEAF, "name": "other"}]}
        await it.ok("PUT", f"{NAMESPACED}/build", {"template": {"spec": broken}})
        assert await run("second") == "Succeeded"
        await it.ok("DELETE", f"{NAMESPACED}/build")
        assert "not found" in await run("third")


async def test_a_template_may_refer_to_others_and_is_refused_without_them() -> None:
    async with served() as it:
        steps = [[{"name": "a", "templateRef": {"name": "common", "template": "leaf", "clusterScope": True}}]]
        refers = {"metadata": {"name": "refers"}, "spec": {"templates": [{"name": "main", "steps": steps}]}}
        status, code, message = await it.refused("POST", NAMESPACED, {"template": refers})
        assert (status, code) == (400, 3)
        assert "common" in message
        assert "not found" in message
        await it.ok("POST", CLUSTER, {"template": template("common")})
        await it.ok("POST", NAMESPACED, {"template": refers})


@both
async def test_they_are_there_after_a_restart(path: str) -> None:
    store = MemoryStore()
    async with served(store) as it:
        made = await it.ok("POST", path, {"template": template()})
        await it.ok("POST", path, {"template": template("gone")})
        await it.ok("DELETE", f"{path}/gone")
    async with served(store) as it:
        assert [each["metadata"]["name"] for each in (await it.ok("GET", path))["items"]] == ["build"]
        assert await it.ok("GET", f"{path}/build") == made
        assert it.engine.templates.get(KINDS[path], "build") is not None
