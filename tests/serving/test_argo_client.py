"""The client that is generated from Argo's OpenAPI document: it checks the types of all that is answered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import argo_workflows
import pytest
from argo_workflows.api import (
    archived_workflow_service_api,
    artifact_service_api,
    cluster_workflow_template_service_api,
    cron_workflow_service_api,
    info_service_api,
    workflow_service_api,
    workflow_template_service_api,
)
from argo_workflows.exceptions import ApiException, NotFoundException, UnauthorizedException

from tests.serving.conftest import Served

NAMESPACE = "client"


@pytest.fixture(scope="module", params=["served", "sharded", "guarded"])
def client(request: pytest.FixtureRequest) -> Iterator[argo_workflows.ApiClient]:
    server: Served = request.getfixturevalue(request.param)
    configuration = argo_workflows.Configuration(host=server.url)
    if server.token is not None:
        configuration.api_key["BearerToken"] = f"Bearer {server.token}"
    with argo_workflows.ApiClient(configuration) as client:
        yield client


@pytest.fixture
def workflows(client: argo_workflows.ApiClient) -> Any:
    return workflow_service_api.WorkflowServiceApi(client)


def call(api: Any, operation: str, *where: str, **fields: Any) -> Any:
    """An operation with a body, the fields of which may be plain documents."""
    body = getattr(api, f"{operation}_endpoint").openapi_types["body"][0]
    return getattr(api, operation)(*where, body(**fields, _check_type=False))


def spec(source: str = "echo here") -> dict[str, Any]:
    script = {"image": "alpine", "command": ["sh"], "source": source}
    return {"entrypoint": "main", "templates": [{"name": "main", "script": script}]}


def created(workflows: Any, source: str = "echo here", **metadata: Any) -> str:
    document = {"metadata": {"generateName": "client-", **metadata}, "spec": spec(source)}
    made = call(workflows, "create_workflow", NAMESPACE, workflow=document)
    name: str = made.metadata.name
    return name


def ended(workflows: Any, name: str) -> Any:
    while True:
        found = workflows.get_workflow(NAMESPACE, name)
        if found.get("status", {}).get("phase") in ("Succeeded", "Failed", "Error"):
            return found
        time.sleep(0.02)


def test_workflows_are_created_shown_listed_and_deleted(workflows: Any) -> None:
    name = created(workflows, labels={"of": "client"})
    shown = ended(workflows, name)
    assert shown.status["nodes"][name]["outputs"]["result"] == "here"
    listed = workflows.list_workflows(NAMESPACE, list_options_label_selector="of=client", list_options_limit="1")
    assert [each.metadata.name for each in listed.items] == [name]
    workflows.delete_workflow(NAMESPACE, name)
    with pytest.raises(NotFoundException) as refused:
        workflows.get_workflow(NAMESPACE, name)
    assert json.loads(refused.value.body) == {"code": 5, "message": f'workflows.argoproj.io "{name}" not found'}


def test_a_list_without_any_is_one(workflows: Any) -> None:
    assert not workflows.list_workflows("nobody-is-here").items


def test_lint_answers_with_the_workflow_or_what_is_wrong(workflows: Any) -> None:
    document = {"metadata": {"name": "lint"}, "spec": spec()}
    assert call(workflows, "lint_workflow", NAMESPACE, workflow=document).metadata.name == "lint"
    document["spec"]["entrypoint"] = "none"
    with pytest.raises(ApiException) as refused:
        call(workflows, "lint_workflow", NAMESPACE, workflow=document)
    assert (refused.value.status, json.loads(refused.value.body)["code"]) == (400, 3)


def test_workflows_are_watched(workflows: Any) -> None:
    name = created(workflows)
    ended(workflows, name)
    stream = workflows.watch_workflows(
        NAMESPACE, list_options_field_selector=f"metadata.name={name}", _preload_content=False, _request_timeout=60
    )
    event = json.loads(next(iter(stream)))["result"]
    stream.close()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)


def test_logs_are_read(workflows: Any) -> None:
    name = created(workflows, "echo one; echo two")
    ended(workflows, name)
    one = workflows.workflow_logs(NAMESPACE, name, log_options_tail_lines="1", log_options_container="main")
    assert one.result.content == "two"
    assert workflows.pod_logs(NAMESPACE, name, name, grep="one$").result.pod_name == name
    stream = workflows.workflow_logs(NAMESPACE, name, log_options_follow=True, _preload_content=False)
    assert [json.loads(line)["result"]["content"] for line in stream][1:] == ["one", "two"]


def test_artifacts_are_downloaded(client: argo_workflows.ApiClient, workflows: Any) -> None:
    document = {"metadata": {"generateName": "client-"}, "spec": spec("echo content > /tmp/file.txt")}
    document["spec"]["templates"][0]["outputs"] = {"artifacts": [{"name": "file", "path": "/tmp/file.txt"}]}
    made = call(workflows, "create_workflow", NAMESPACE, workflow=document)
    found = ended(workflows, made.metadata.name)
    name, uid = found.metadata.name, found.metadata.uid
    artifacts = artifact_service_api.ArtifactServiceApi(client)
    for file in (
        artifacts.get_output_artifact(NAMESPACE, name, name, "file"),
        artifacts.get_output_artifact_by_uid(uid, name, "file"),
        artifacts.get_artifact_file(NAMESPACE, "workflow", name, name, "file", "outputs"),
    ):
        assert file.read() == b"content\n"
        file.close()


def test_a_workflow_is_operated_on(workflows: Any) -> None:
    name = created(workflows, "sleep 600")
    body: dict[str, Any] = {"namespace": NAMESPACE, "name": name}
    assert call(workflows, "suspend_workflow", NAMESPACE, name, **body).spec["suspend"] is True
    assert not call(workflows, "resume_workflow", NAMESPACE, name, **body).spec.get("suspend")
    call(workflows, "stop_workflow", NAMESPACE, name, **body, message="enough")
    assert ended(workflows, name).status["phase"] == "Failed"
    assert call(workflows, "retry_workflow", NAMESPACE, name, **body).metadata.name == name
    call(workflows, "terminate_workflow", NAMESPACE, name, **body)
    assert ended(workflows, name).status["phase"] == "Failed"
    again = call(workflows, "resubmit_workflow", NAMESPACE, name, **body)
    workflows.delete_workflow(NAMESPACE, again.metadata.name)


def test_templates_are_kept(client: argo_workflows.ApiClient, workflows: Any) -> None:
    templates: Any = workflow_template_service_api.WorkflowTemplateServiceApi(client)
    document = {"metadata": {"name": "of-client"}, "spec": spec()}
    call(templates, "create_workflow_template", NAMESPACE, template=document)
    call(templates, "lint_workflow_template", NAMESPACE, template=document)
    kept = templates.get_workflow_template(NAMESPACE, "of-client")
    assert kept.spec["entrypoint"] == "main"
    assert [each.metadata.name for each in templates.list_workflow_templates(NAMESPACE).items] == ["of-client"]
    document["metadata"]["resourceVersion"] = kept.metadata.resource_version
    call(templates, "update_workflow_template", NAMESPACE, "of-client", template=document)
    of = {"resource_kind": "WorkflowTemplate", "resource_name": "of-client"}
    made = call(workflows, "submit_workflow", NAMESPACE, **of)
    assert ended(workflows, made.metadata.name).status["phase"] == "Succeeded"
    templates.delete_workflow_template(NAMESPACE, "of-client")
    with pytest.raises(NotFoundException):
        templates.get_workflow_template(NAMESPACE, "of-client")


def test_cluster_templates_are_kept(client: argo_workflows.ApiClient) -> None:
    templates: Any = cluster_workflow_template_service_api.ClusterWorkflowTemplateServiceApi(client)
    document = {"metadata": {"name": "of-all"}, "spec": spec()}
    call(templates, "create_cluster_workflow_template", template=document)
    call(templates, "lint_cluster_workflow_template", template=document)
    kept = templates.get_cluster_workflow_template("of-all")
    assert "of-all" in [each.metadata.name for each in templates.list_cluster_workflow_templates().items]
    document["metadata"]["resourceVersion"] = kept.metadata.resource_version
    call(templates, "update_cluster_workflow_template", "of-all", template=document)
    templates.delete_cluster_workflow_template("of-all")
    with pytest.raises(NotFoundException):
        templates.get_cluster_workflow_template("of-all")


def test_cron_workflows_are_kept(client: argo_workflows.ApiClient) -> None:
    crons: Any = cron_workflow_service_api.CronWorkflowServiceApi(client)
    cron = {"schedules": ["0 0 1 1 *"], "workflowSpec": spec()}
    document: dict[str, Any] = {"metadata": {"name": "yearly"}, "spec": cron}
    call(crons, "create_cron_workflow", NAMESPACE, cron_workflow=document)
    call(crons, "lint_cron_workflow", NAMESPACE, cron_workflow=document)
    kept = crons.get_cron_workflow(NAMESPACE, "yearly")
    assert [each.metadata.name for each in crons.list_cron_workflows(NAMESPACE).items] == ["yearly"]
    assert call(crons, "suspend_cron_workflow", NAMESPACE, "yearly").spec.suspend is True
    call(crons, "resume_cron_workflow", NAMESPACE, "yearly")
    document["metadata"]["resourceVersion"] = crons.get_cron_workflow(NAMESPACE, "yearly").metadata.resource_version
    assert kept.metadata.uid
    call(crons, "update_cron_workflow", NAMESPACE, "yearly", cron_workflow=document)
    crons.delete_cron_workflow(NAMESPACE, "yearly")
    with pytest.raises(NotFoundException):
        crons.get_cron_workflow(NAMESPACE, "yearly")


def test_finished_workflows_are_in_the_archive(client: argo_workflows.ApiClient, workflows: Any) -> None:
    archive: Any = archived_workflow_service_api.ArchivedWorkflowServiceApi(client)
    name = created(workflows, labels={"archived": "client"})
    uid = ended(workflows, name).metadata.uid
    listed = archive.list_archived_workflows(list_options_label_selector="archived=client", namespace=NAMESPACE)
    assert [each.metadata.uid for each in listed.items] == [uid]
    assert archive.get_archived_workflow(uid).metadata.name == name
    assert "archived" in archive.list_archived_workflow_label_keys().items
    values = archive.list_archived_workflow_label_values(list_options_label_selector="archived")
    assert "client" in values.items
    archive.delete_archived_workflow(uid)
    with pytest.raises(NotFoundException):
        archive.get_archived_workflow(uid)


def test_what_the_server_is(client: argo_workflows.ApiClient) -> None:
    info: Any = info_service_api.InfoServiceApi(client)
    assert info.get_version().version
    assert info.get_info() is not None
    assert info.get_user_info() is not None


def test_a_stranger_is_refused(guarded: Served) -> None:
    configuration = argo_workflows.Configuration(host=guarded.url)
    with argo_workflows.ApiClient(configuration) as client, pytest.raises(UnauthorizedException) as refused:
        info_service_api.InfoServiceApi(client).get_version()
    assert json.loads(refused.value.body)["code"] == 16
