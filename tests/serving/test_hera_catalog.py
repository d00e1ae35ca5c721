"""Hera's client keeps templates and CronWorkflows here, and looks at archived workflows, as with Argo's server."""

from __future__ import annotations

from typing import Any

import pytest
from hera.exceptions import AlreadyExists, BadRequest, NotFound
from hera.workflows import (
    ClusterWorkflowTemplate,
    Container,
    CronWorkflow,
    Workflow,
    WorkflowsService,
    WorkflowTemplate,
)
from hera.workflows.models import (
    CronWorkflowResumeRequest,
    CronWorkflowSuspendRequest,
    ResubmitArchivedWorkflowRequest,
    WorkflowTemplateRef,
)

from tests.serving.conftest import Served

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Hera's own


@pytest.fixture
def service(served: Served) -> Any:
    return WorkflowsService(host=served.url, namespace="hera", token="none is asked for")


def leaf() -> Container:
    return Container(name="main", image="busybox", command=["true"])


def test_templates(service: Any) -> None:
    with WorkflowTemplate(name="build", namespace="hera", entrypoint="main", workflows_service=service) as template:
        leaf()
    created: Any = template.create()
    with pytest.raises(AlreadyExists):
        template.create()
    template.parallelism = 3
    updated: Any = template.update()
    assert updated.metadata.uid == created.metadata.uid
    assert updated.spec.parallelism == 3
    found: Any = template.get()
    assert found.spec.parallelism == 3
    linted: Any = template.lint()
    assert linted.metadata.name == "build"
    assert [each.metadata.name for each in service.list_workflow_templates().items] == ["build"]
    service.delete_workflow_template("build")
    with pytest.raises(NotFound, match="not found"):
        template.get()


def test_cluster_templates_and_workflows_of_them(served: Served, service: Any) -> None:
    with ClusterWorkflowTemplate(name="common", entrypoint="main", workflows_service=service) as template:
        leaf()
    template.create()
    template.parallelism = 2
    updated: Any = template.update()
    assert updated.metadata.generation == 2
    reference = WorkflowTemplateRef(name="common", cluster_scope=True)
    workflow = Workflow(
        generate_name="of-", namespace="hera", workflow_template_ref=reference, workflows_service=service
    )
    created: Any = workflow.create()
    served.wait(created.metadata.name, "hera")
    uid = created.metadata.uid
    assert service.get_archived_workflow(uid).status.phase == "Succeeded"
    assert uid in [each.metadata.uid for each in service.list_archived_workflows(namespace="hera").items]
    assert "workflows.argoproj.io/phase" in service.list_archived_workflow_label_keys().items
    again = service.resubmit_archived_workflow(uid, ResubmitArchivedWorkflowRequest(uid=uid, namespace="hera"))
    assert again.metadata.name.startswith("of-")
    service.delete_archived_workflow(uid)
    with pytest.raises(NotFound):
        service.get_archived_workflow(uid)
    service.delete_cluster_workflow_template("common")


def test_cron_workflows(service: Any) -> None:
    with CronWorkflow(
        name="nightly", namespace="hera", entrypoint="main", schedules=["@yearly"], workflows_service=service
    ) as cron:
        leaf()
    cron.create()
    linted: Any = cron.lint()
    assert linted.metadata.name == "nightly"
    cron.schedules = ["@monthly"]
    updated: Any = cron.update()
    assert updated.spec.schedules == ["@monthly"]
    asked = {"name": "nightly", "namespace": "hera"}
    assert service.suspend_cron_workflow("nightly", CronWorkflowSuspendRequest(**asked)).spec.suspend is True
    assert service.resume_cron_workflow("nightly", CronWorkflowResumeRequest(**asked)).spec.suspend is False
    assert [each.metadata.name for each in service.list_cron_workflows().items] == ["nightly"]
    cron.schedules = ["61 * * * *"]
    with pytest.raises(BadRequest, match="is malformed: end of range"):
        cron.update()
    service.delete_cron_workflow("nightly")
    assert service.list_cron_workflows().items == []
