"""Hera's clients, which nobody here wrote, against a server: all that they do with workflows and templates."""

# Hera reads annotations: they are not to be texts here.

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hera.exceptions import AlreadyExists, NotFound
from hera.exceptions import HeraException as Refused
from hera.shared import global_config
from hera.workflows import (
    DAG,
    Artifact,
    AsyncWorkflowsService,
    ClusterWorkflowTemplate,
    Container,
    CronWorkflow,
    Parameter,
    Steps,
    Suspend,
    Workflow,
    WorkflowsService,
    WorkflowTemplate,
    script,
)
from hera.workflows import models as argo

from tests.serving.conftest import Served

pytestmark = [
    pytest.mark.filterwarnings("ignore:The `json` method is deprecated"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload"),
]

SOON: Any = 0.1
"""Seconds between two looks at a workflow."""


@pytest.fixture(autouse=True)
def _namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(global_config, "namespace", "hera")


@pytest.fixture(scope="module", params=["served", "sharded", "guarded"])
def server(request: pytest.FixtureRequest) -> Served:
    found: Served = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def service(server: Served) -> Iterator[WorkflowsService]:
    with WorkflowsService(host=server.url, token=server.token, namespace="hera") as service:
        yield service


@script(image="python:3.11")
def add(a: int, b: int) -> None:
    print(a + b)


@script(image="python:3.11", outputs=Artifact(name="words", path="/tmp/words.json"))
def write(words: list[str]) -> None:
    import json

    with open("/tmp/words.json", "w") as file:
        json.dump(words, file)


@script(image="python:3.11", inputs=Artifact(name="words", path="/tmp/words.json"))
def read() -> None:
    import json

    with open("/tmp/words.json") as file:
        print(" ".join(json.load(file)))


@script(image="python:3.11")
def fail_once(marker: str) -> None:
    import os
    import sys

    if not os.path.exists(marker):
        open(marker, "w").close()
        sys.exit(3)


def nodes_of(workflow: Any) -> dict[str, Any]:
    nodes = (workflow.status.nodes if workflow.status is not None else None) or {}
    return {node.display_name: node for node in nodes.values()}


def phase_of(workflow: Any) -> str:
    return str(workflow.status.phase) if workflow.status is not None else ""


def until(seen: Callable[[], bool]) -> None:
    while not seen():
        time.sleep(0.02)


def waited(workflow: Workflow) -> Any:
    """It, once it is over, as Hera waits for it: she takes it that one has begun when she looks for the first time."""
    service: Any = workflow.workflows_service
    until(lambda: phase_of(service.get_workflow(workflow.name)) not in ("", "None"))
    return workflow.wait(poll_interval=SOON)


def sleeper(service: WorkflowsService, name: str = "sleeper-") -> Workflow:
    with Workflow(generate_name=name, entrypoint="main", workflows_service=service) as workflow:
        Container(name="main", image="alpine", command=["sleep", "600"])
    return workflow


def created(service: WorkflowsService, kind: str) -> str:
    """The name of a workflow that has just been created, with that label."""
    with Workflow(
        generate_name=f"{kind}-", entrypoint="main", labels={"kind": kind}, workflows_service=service
    ) as workflow:
        Container(name="main", image="alpine", command=["true"])
    created: Any = workflow.create()
    return str(created.metadata.name)


def test_scripts_hand_on_parameters_in_a_dag(service: WorkflowsService) -> None:
    with Workflow(generate_name="dag-", entrypoint="main", workflows_service=service) as workflow, DAG(name="main"):
        three: Any = add(name="three", arguments={"a": 1, "b": 2})
        seven: Any = add(name="seven", arguments={"a": three.result, "b": 4})
        three >> seven
    workflow.create()
    ended = waited(workflow)
    assert phase_of(ended) == "Succeeded"
    nodes = nodes_of(ended)
    assert nodes["seven"].outputs.result == "7"
    name = ended.metadata.name
    entries = service.session.get(
        f"{service.host}/api/v1/workflows/hera/{name}/log",
        headers={"Authorization": service.token or ""},
        params={"grep": "^[0-9]"},
    ).text.splitlines()
    assert [json.loads(line)["result"]["content"] for line in entries] == ["3", "7"]
    pod = f"{name}-add-{nodes['seven'].id.removeprefix(f'{name}-')}"
    one = service.pod_logs(name, pod, tail_lines="1")
    assert isinstance(one, argo.V1alpha1LogEntry)


def test_artifacts_pass_between_steps_and_can_be_downloaded(service: WorkflowsService) -> None:
    with Workflow(generate_name="steps-", entrypoint="main", workflows_service=service) as workflow, Steps(name="main"):
        made: Any = write(arguments={"words": ["a", "b"]})
        read(arguments={"words": made.get_artifact("words")})
    workflow.create()
    ended = waited(workflow)
    nodes, name, uid = nodes_of(ended), ended.metadata.name, ended.metadata.uid
    assert nodes["read"].outputs.result == "a b"
    content = str(b'["a", "b"]')
    assert service.get_output_artifact(name, nodes["write"].id, "words") == content
    assert service.get_output_artifact_by_uid(uid, nodes["write"].id, "words") == content
    assert service.get_input_artifact(name, nodes["read"].id, "words") == content
    assert service.get_input_artifact_by_uid(uid, nodes["read"].id, "words") == content
    assert service.get_artifact_file("workflows", name, nodes["write"].id, "words", "outputs") == content
    with pytest.raises(NotFound):
        service.get_output_artifact(name, nodes["write"].id, "none")


def test_workflows_are_listed_and_deleted(service: WorkflowsService) -> None:
    names = [created(service, "listed") for _ in range(3)]
    found: Any = service.list_workflows(label_selector="kind=listed", limit="2")
    assert len(found.items) == 2
    rest: Any = service.list_workflows(label_selector="kind=listed", limit="2", continue_=found.metadata.continue_)
    assert sorted(each.metadata.name for each in (*found.items, *rest.items)) == sorted(names)
    for name in names:
        service.delete_workflow(name)
        with pytest.raises(NotFound):
            service.get_workflow(name)


def test_a_name_is_one_workflow(service: WorkflowsService) -> None:
    workflow = sleeper(service)
    workflow.generate_name, workflow.name = None, "only-one"
    workflow.create()
    with pytest.raises(AlreadyExists):
        workflow.create()
    service.delete_workflow("only-one")


def test_lint_says_what_is_wrong(service: WorkflowsService) -> None:
    workflow: Any = sleeper(service)
    assert workflow.lint().spec.entrypoint == "main"
    workflow.entrypoint = "none"
    with pytest.raises(Refused, match="none"):
        workflow.lint()


def test_a_workflow_that_failed_is_retried_and_resubmitted(service: WorkflowsService, tmp_path: Any) -> None:
    with (
        Workflow(generate_name="retried-", entrypoint="main", workflows_service=service) as workflow,
        Steps(name="main"),
    ):
        fail_once(arguments={"marker": str(tmp_path / "marker")})
    workflow.create()
    ended = waited(workflow)
    assert phase_of(ended) == "Failed"
    name = ended.metadata.name
    service.retry_workflow(name, argo.WorkflowRetryRequest(name=name, namespace="hera"))
    again = waited(workflow)
    assert phase_of(again) == "Succeeded"
    resubmitted: Any = service.resubmit_workflow(name, argo.WorkflowResubmitRequest(name=name, namespace="hera"))
    assert resubmitted.metadata.name != name
    assert service.get_workflow(resubmitted.metadata.name)


def test_a_workflow_is_stopped_or_terminated(service: WorkflowsService) -> None:
    operations: list[Callable[[str], Any]] = [
        lambda name: service.stop_workflow(name, argo.WorkflowStopRequest(message="enough")),
        lambda name: service.terminate_workflow(name, argo.WorkflowTerminateRequest()),
    ]
    for operation in operations:
        workflow = sleeper(service)
        operation(str(workflow.create().metadata.name))
        assert phase_of(waited(workflow)) == "Failed"


def test_a_workflow_is_suspended_set_and_resumed(service: WorkflowsService) -> None:
    with Workflow(generate_name="gate-", entrypoint="main", workflows_service=service) as workflow:
        gate = Suspend(name="gate", intermediate_parameters=[Parameter(name="word", default="", enum=["", "hello"])])
        say = Container(
            name="say", image="a", command=["echo", "{{inputs.parameters.word}}"], inputs=[Parameter(name="word")]
        )
        with Steps(name="main"):
            asked: Any = gate()
            say(arguments={"word": asked.get_parameter("word")})
    name = str(workflow.create().metadata.name)
    until(lambda: "gate" in nodes_of(service.get_workflow(name)))
    service.set_workflow(
        name,
        argo.WorkflowSetRequest(
            node_field_selector="displayName=gate", output_parameters=json.dumps({"word": "hello"})
        ),
    )
    service.resume_workflow(name, argo.WorkflowResumeRequest())
    ended = waited(workflow)
    assert nodes_of(ended)["say"].outputs.exit_code == "0"

    held = sleeper(service)
    name = str(held.create().metadata.name)
    assert service.suspend_workflow(name, argo.WorkflowSuspendRequest()).spec.suspend is True
    assert not service.resume_workflow(name, argo.WorkflowResumeRequest()).spec.suspend
    service.delete_workflow(name)


@pytest.mark.parametrize("kind", [WorkflowTemplate, ClusterWorkflowTemplate])
def test_templates_are_kept_and_submitted_from(
    service: WorkflowsService, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_cluster = kind is ClusterWorkflowTemplate
    if of_cluster:
        monkeypatch.setattr(global_config, "namespace", None)
    what = "cluster_workflow_template" if of_cluster else "workflow_template"

    def call(verb: str, *given: Any) -> Any:
        return getattr(service, f"{verb}_{what}")(*given)

    with kind(name="kept", entrypoint="main", workflows_service=service) as template:
        Container(name="main", image="alpine", command=["true"])
    template.create()
    assert template.lint().metadata.name == "kept"
    with pytest.raises(AlreadyExists):
        template.create()
    assert call("get", "kept").spec.entrypoint == "main"
    assert [each.metadata.name for each in getattr(service, f"list_{what}s")().items] == ["kept"]
    template.labels = {"changed": "yes"}
    assert template.update().metadata.labels == {"changed": "yes"}
    submitted: Any = service.submit_workflow(
        argo.WorkflowSubmitRequest(resource_kind=kind.__name__, resource_name="kept", namespace="hera")
    )
    name = submitted.metadata.name
    until(lambda: phase_of(service.get_workflow(name)) == "Succeeded")
    call("delete", "kept")
    with pytest.raises(NotFound):
        call("get", "kept")


def test_cron_workflows_are_kept(service: WorkflowsService) -> None:
    with CronWorkflow(name="cron", entrypoint="main", schedules=["0 0 1 1 *"], workflows_service=service) as cron:
        Container(name="main", image="alpine", command=["true"])
    linted: Any = cron.lint()
    assert linted.metadata.name == "cron"
    cron.create()
    assert [each.metadata.name for each in service.list_cron_workflows().items or ()] == ["cron"]
    assert service.suspend_cron_workflow("cron", argo.CronWorkflowSuspendRequest()).spec.suspend is True
    assert not service.resume_cron_workflow("cron", argo.CronWorkflowResumeRequest()).spec.suspend
    cron.schedules = ["0 0 2 2 *"]
    updated: Any = cron.update()
    assert updated.spec.schedules == ["0 0 2 2 *"]
    service.delete_cron_workflow("cron")
    with pytest.raises(NotFound):
        service.get_cron_workflow("cron")


def test_finished_workflows_are_in_the_archive(service: WorkflowsService) -> None:
    name = created(service, "archived")
    until(lambda: phase_of(service.get_workflow(name)) == "Succeeded")
    uid: Any = service.get_workflow(name).metadata.uid
    listed: Any = service.list_archived_workflows(label_selector="kind=archived", namespace="hera")
    assert [each.metadata.uid for each in listed.items] == [uid]
    assert "kind" in (service.list_archived_workflow_label_keys().items or ())
    assert service.get_archived_workflow(uid).metadata.name == name
    again: Any = service.resubmit_archived_workflow(uid, argo.ResubmitArchivedWorkflowRequest())
    assert again.metadata.name != name
    service.delete_archived_workflow(uid)
    with pytest.raises(NotFound):
        service.get_archived_workflow(uid)


def test_what_the_server_is(service: WorkflowsService) -> None:
    assert service.get_version().version
    assert service.get_info() is not None
    assert service.get_user_info() is not None


def test_a_stranger_is_refused(guarded: Served) -> None:
    for token in (None, "wrong"):
        service = WorkflowsService(host=guarded.url, token=token, namespace="hera")
        with service, pytest.raises(Refused, match="Bearer"):
            service.get_info()


async def begun(service: AsyncWorkflowsService, name: str) -> None:
    if phase_of(await service.get_workflow(name)) in ("", "None"):
        await asyncio.sleep(SOON)
        await begun(service, name)


async def test_the_async_client(server: Served) -> None:
    async with AsyncWorkflowsService(host=server.url, token=server.token, namespace="hera") as service:
        with (
            Workflow(generate_name="async-", entrypoint="main", workflows_service=service) as workflow,
            Steps(name="main"),
        ):
            add(name="sum", arguments={"a": 20, "b": 22})
        await workflow.async_lint()
        await workflow.async_create(wait=False)
        await begun(service, str(workflow.name))
        ended: Any = await workflow.async_wait(poll_interval=SOON)
        assert nodes_of(ended)["sum"].outputs.result == "42"
        name = ended.metadata.name
        assert isinstance(await service.workflow_logs(name, tail_lines="1"), argo.V1alpha1LogEntry)
        assert (await service.list_workflows(field_selector=f"metadata.name={name}")).items
        await service.delete_workflow(name)
        with pytest.raises(NotFound):
            await service.get_workflow(name)
