"""Fields that are for whoever runs pods: they change nothing here, and arrive where they are needed as they are."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.engine.graph.running import run, workflow

OF_THE_SPEC: Final[dict[str, Any]] = {
    "affinity": {"nodeAffinity": {}},
    "archiveLogs": True,
    "artifactGC": {"strategy": "OnWorkflowCompletion"},
    "artifactRepositoryRef": {"configMap": "repositories", "key": "first"},
    "automountServiceAccountToken": False,
    "dnsConfig": {"nameservers": ["192.0.2.1"]},
    "dnsPolicy": "None",
    "executor": {"serviceAccountName": "executor"},
    "executorPlugins": [{"name": "hello"}],
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["there"]}],
    "hostNetwork": True,
    "imagePullSecrets": [{"name": "secret"}],
    "metrics": {"prometheus": [{"name": "runs", "help": "How often", "counter": {"value": "1"}}]},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "podDisruptionBudget": {"minAvailable": 1},
    "podGC": {"strategy": "OnPodSuccess"},
    "podMetadata": {"labels": {"team": "rowers"}},
    "podPriority": 7,
    "podPriorityClassName": "high",
    "podResources": {"limits": {"cpu": 1}},
    "podSpecPatch": "hostname: here",
    "resourceClaims": [{"name": "gpu"}],
    "schedulerName": "other",
    "securityContext": {"runAsUser": 1000},
    "serviceAccountName": "runner",
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "ttlStrategy": {"secondsAfterCompletion": 60},
    "volumeClaimGC": {"strategy": "OnWorkflowCompletion"},
    "volumeClaimTemplates": [{"metadata": {"name": "claim"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
}

OF_A_TEMPLATE: Final[dict[str, Any]] = {
    "affinity": {"podAffinity": {}},
    "archiveLocation": {"archiveLogs": True},
    "automountServiceAccountToken": False,
    "executor": {"serviceAccountName": "executor"},
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["there"]}],
    "initContainers": [{"name": "before", "image": "busybox"}],
    "metadata": {"labels": {"team": "rowers"}},
    "metrics": {"prometheus": [{"name": "runs", "help": "How often", "counter": {"value": "1"}}]},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "pendingTimeout": "1m",
    "podResources": {"limits": {"cpu": 1}},
    "podSpecPatch": "hostname: here",
    "priority": 7,
    "priorityClassName": "high",
    "resourceClaims": [{"name": "gpu"}],
    "schedulerName": "other",
    "securityContext": {"runAsUser": 1000},
    "serviceAccountName": "runner",
    "sidecars": [{"name": "beside", "image": "busybox"}],
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
}


@pytest.mark.parametrize("field", OF_THE_SPEC)
def test_a_field_of_the_spec_stays_as_it_is(field: str) -> None:
    work = workflow("templates: [{name: main, steps: [[{name: a, template: leaf}]]}]")
    plain = run("templates: [{name: main, steps: [[{name: a, template: leaf}]]}]")
    work.document["spec"][field] = OF_THE_SPEC[field]
    ran = run(work)
    assert ran.workflow.to_dict()["spec"][field] == OF_THE_SPEC[field]
    assert ran.workflow.to_dict()["status"] == plain.workflow.to_dict()["status"]


@pytest.mark.parametrize("field", OF_A_TEMPLATE)
def test_a_field_of_a_template_reaches_whoever_runs_it(field: str) -> None:
    work = workflow(
        "templates: [{name: main, steps: [[{name: a, template: pod}]]}, {name: pod, container: {image: i}}]"
    )
    (template,) = [each for each in work.document["spec"]["templates"] if each["name"] == "pod"]
    template[field] = OF_A_TEMPLATE[field]
    ran = run(work)
    assert ran.phase == "Succeeded"
    assert ran.executor.started["a"][field] == OF_A_TEMPLATE[field]


def test_tags_in_them_are_filled_in() -> None:
    ran = run(
        """
        templates:
        - name: main
          steps: [[{name: a, template: pod, arguments: {parameters: [{name: memory, value: 1Gi}]}}]]
        - name: pod
          inputs: {parameters: [{name: memory}]}
          podSpecPatch: 'containers: [{name: main, resources: {limits: {memory: "{{inputs.parameters.memory}}"}}}]'
          container: {image: i}
        """
    )
    assert 'memory: "1Gi"' in ran.executor.started["a"]["podSpecPatch"]
