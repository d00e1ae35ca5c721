"""Containers and scripts as processes: how they are started, and what is told of how they ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.local.conftest import Machine, named, python, shell


async def test_a_script_runs_and_what_it_prints_is_its_result(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "echo one; echo two; echo aside >&2"))
    assert workflow.phase == "Succeeded"
    assert named(workflow, "w").outputs == {"exitCode": "0", "result": "one\ntwo"}


async def test_a_container_runs_with_its_arguments(machine: Machine) -> None:
    container = {"image": "alpine", "command": ["echo"], "args": ["a b", "$(NAME)", "$$(NAME)", "$(OTHER)"]}
    workflow = await machine.run({"name": "main", "container": {**container, "env": [{"name": "NAME", "value": "c"}]}})
    assert (named(workflow, "w").outputs or {})["result"] == "a b c $(NAME) $(OTHER)"


async def test_the_first_line_of_the_log_says_that_the_image_is_not_used(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "echo out; echo err >&2"))
    first, *others = (await machine.log(workflow, "w")).splitlines()
    assert first == "[oarlock: a process of this machine, image 'alpine' is not used]"
    assert sorted(others) == ["err", "out"]


async def test_an_exit_code_fails_the_leaf_as_argo_says_it(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "echo so far; exit 3"))
    node = named(workflow, "w")
    assert (node.phase, node.message) == ("Failed", "main: Error (exit code 3)")
    assert node.outputs == {"exitCode": "3", "result": "so far"}


async def test_a_signal_counts_as_128_and_its_number(machine: Machine) -> None:
    workflow = await machine.run(shell("main", "kill -9 $$"))
    assert named(workflow, "w").message == "main: Error (exit code 137)"


async def test_a_command_that_is_not_there_is_an_error_that_names_it(machine: Machine) -> None:
    workflow = await machine.run({"name": "main", "container": {"image": "a", "command": ["no-such-command", "x"]}})
    node = named(workflow, "w")
    assert node.phase == "Error"
    assert node.message == (
        "main: command 'no-such-command' cannot be started on this machine: there is no such command in PATH"
    )


VOLUME = {"name": "v", "emptyDir": {}}
NO_PORT = "readinessProbe.port: expected the name of one of the container's ports"
PROBE = {"exec": {"command": ["true"]}}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            {"container": {"image": "cow", "args": ["hello"]}},
            "container.command: the image is not used, so its entrypoint ('cow') is not known here: give the command",
        ),
        (
            {"script": {"image": "python", "source": "1"}},
            "script.command: the image is not used, so its entrypoint ('python') is not known here: give the command",
        ),
        ({"resource": {"action": "get"}}, "resource: there is no cluster that it could be applied to"),
        ({"http": {"url": "http://localhost"}}, "http: is not run by the local executor"),
        (
            {"container": {"image": "a", "command": ["true"], "env": [{"name": "A=B", "value": "c"}]}},
            "container.env: expected names of variables, without '=', got 'A=B'",
        ),
        (
            {"container": {"image": "a", "command": ["true"], "env": [{"name": "", "value": "c"}]}},
            "container.env: expected names of variables, without '=', got ''",
        ),
        (
            {"container": {"image": "a", "command": ["true"], "env": [{"name": "A\0", "value": "c"}]}},
            "container: expected arguments and variables without NUL",
        ),
        (
            {
                "initContainers": [{"name": "../out", "image": "a", "command": ["true"]}],
                "container": {"image": "a", "command": ["true"]},
            },
            "initContainers[0].name: expected a string matching regex '^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$'",
        ),
        (
            {
                "sidecars": [{"name": "main", "image": "a", "command": ["true"]}],
                "container": {"image": "a", "command": ["true"]},
            },
            "container.name: expected another one, 'main' is the name of two containers",
        ),
        (
            {
                "container": {
                    "image": "a",
                    "command": ["true"],
                    "env": [{"name": "A", "valueFrom": {"configMapKeyRef": "b"}}],
                }
            },
            "container.env[0].valueFrom.configMapKeyRef: expected a mapping, got a string",
        ),
        (
            {
                "inputs": {"artifacts": [{"name": "a", "path": "/a", "raw": {"data": "b"}, "mode": 10**12}]},
                "container": {"image": "a", "command": ["true"]},
            },
            "inputs.artifacts[0].mode: expected a whole number <= 4095",
        ),
        (
            {"containerSet": {"retryStrategy": {"retries": 1}, "containers": [{"name": "a", "command": ["true"]}]}},
            "containerSet.retryStrategy: is not run by the local executor, the template's retryStrategy is",
        ),
        (
            {"container": {"image": "a", "command": ["true"], "volumeMounts": [{"name": "v"}]}, "volumes": [VOLUME]},
            "container.volumeMounts[0]: expected a mountPath, got none",
        ),
        (
            {"container": {"image": "a", "command": ["true"], "readinessProbe": {"grpc": {}}}, "daemon": True},
            "readinessProbe: expected one of exec, httpGet, tcpSocket",
        ),
        (
            {
                "container": {"image": "a", "command": ["true"], "readinessProbe": {**PROBE, "periodSeconds": "5s"}},
                "daemon": True,
            },
            "readinessProbe.periodSeconds: expected a number, got a string",
        ),
        *(
            (
                {
                    "container": {"image": "a", "command": ["true"], "ports": ports, "readinessProbe": probe},
                    "daemon": True,
                },
                message,
            )
            for probe, ports, message in (
                ({"tcpSocket": {"port": 70000}}, [], "readinessProbe.tcpSocket.port: expected a whole number <= 65535"),
                ({"httpGet": {"port": 0}}, [], "readinessProbe.httpGet.port: expected a whole number >= 1"),
                ({"httpGet": {"port": "70000"}}, [], f"{NO_PORT}, got '70000'"),
                ({"httpGet": {"port": "web"}}, [{"name": "api", "containerPort": 80}], f"{NO_PORT}, got 'web'"),
                ({"httpGet": {"port": "web"}}, [{"name": "web"}], f"{NO_PORT}, got 'web'"),
                ({**PROBE, "periodSeconds": -1}, [], "readinessProbe.periodSeconds: expected a number >= 0.0"),
            )
        ),
    ],
)
async def test_what_cannot_be_run_is_an_error_that_names_the_field(
    machine: Machine, template: dict[str, object], message: str
) -> None:
    workflow = await machine.run({"name": "main", **template})
    assert (named(workflow, "w").phase, named(workflow, "w").message) == ("Error", message)


async def test_of_a_long_result_the_end_is_kept(machine: Machine) -> None:
    workflow = await machine.run(python("main", "print('a' * 300_000 + 'b' * 262_143 + 'c')"))
    assert (named(workflow, "w").outputs or {})["result"] == "b" * 262_143 + "c"


async def test_a_log_beyond_its_bound_is_cut_and_the_leaf_runs_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path, log_bytes=1000)
    workflow = await machine.run(shell("main", "for i in $(seq 2000); do echo line $i; done; echo done >&2"))
    log = await machine.log(workflow, "w")
    assert workflow.phase == "Succeeded"
    assert log.endswith("\n[the log is cut off here: it has reached its bound]\n")
    assert len(log) < 1100


async def test_python_is_there_where_the_machine_has_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    source = "import sys, msgspec; print(sys.prefix)"
    workflow = await machine.run(python("main", source))
    assert (named(workflow, "w").outputs or {})["result"] == sys.prefix


class TestEnvironment:
    async def test_values_of_many_kinds(self, tmp_path: Path) -> None:
        maps = {"settings": {"data": {"color": "red", "size": 3}}}
        machine = Machine(tmp_path, config_maps=maps)
        environment = [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)2"},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
            {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        ]
        container = {"image": "a", "command": ["sh", "-c", "echo $A $B $C $D ${E-unset} $X_size"], "env": environment}
        source = {"prefix": "X_", "configMapRef": {"name": "settings"}}
        workflow = await machine.run({"name": "main", "container": {**container, "envFrom": [source]}})
        assert (named(workflow, "w").outputs or {})["result"] == "1 12 red default unset 3"

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                {"secretKeyRef": {"name": "s", "key": "k"}},
                "env.A.valueFrom.secretKeyRef: there are no Secrets on this machine, so none called 's'",
            ),
            (
                {"configMapKeyRef": {"name": "s", "key": "k"}},
                "env.A.valueFrom.configMapKeyRef: there is no ConfigMap 's'",
            ),
            (
                {"resourceFieldRef": {"resource": "limits.cpu"}},
                "env.A.valueFrom.resourceFieldRef: is not run by the local executor",
            ),
        ],
    )
    async def test_what_is_not_known_is_an_error(
        self, machine: Machine, source: dict[str, object], message: str
    ) -> None:
        container = {"image": "a", "command": ["true"], "env": [{"name": "A", "valueFrom": source}]}
        workflow = await machine.run({"name": "main", "container": container})
        assert (named(workflow, "w").phase, named(workflow, "w").message) == ("Error", message)

    async def test_home_and_temporary_files_are_the_leafs_own(self, machine: Machine) -> None:
        workflow = await machine.run(shell("main", 'echo "$HOME $TMPDIR $(pwd)"; env | grep -c "^XDG_.*_HOME" || true'))
        assert (named(workflow, "w").outputs or {})["result"] == "/root /tmp /\n0"

    async def test_a_working_directory(self, machine: Machine) -> None:
        template = shell("main", "pwd; echo x > here; cat /src/here; ls $OARLOCK_ROOT/src")
        template["script"]["workingDir"] = "/src"
        workflow = await machine.run(template)
        assert (named(workflow, "w").outputs or {})["result"] == "/src\nx\nhere"


class TestContainerSets:
    async def test_containers_run_by_their_dependencies(self, machine: Machine) -> None:
        group = {
            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
            "containers": [
                {"name": "main", "command": ["sh", "-c", "cat /shared/a /shared/b"], "dependencies": ["a", "b"]},
                {"name": "a", "command": ["sh", "-c", "sleep 0.1; echo a > /shared/a"]},
                {"name": "b", "command": ["sh", "-c", "cat /shared/a > /shared/b"], "dependencies": ["a"]},
            ],
        }
        template = {"name": "main", "containerSet": group, "volumes": [{"name": "shared", "emptyDir": {}}]}
        workflow = await machine.run(template)
        assert (named(workflow, "w").outputs or {})["result"] == "a\na"
        assert {name: named(workflow, name).phase for name in ("main", "a", "b")} == dict.fromkeys(
            ("main", "a", "b"), "Succeeded"
        )

    async def test_what_depends_on_a_failure_is_not_started(self, machine: Machine) -> None:
        group = [
            {"name": "a", "command": ["false"]},
            {"name": "b", "command": ["touch", "/tmp/never"], "dependencies": ["a"]},
        ]
        workflow = await machine.run({"name": "main", "containerSet": {"containers": group}})
        node = named(workflow, "w")
        assert (node.phase, node.message) == ("Failed", "a: Error (exit code 1)")
        assert named(workflow, "a").message == "a: Error (exit code 1)"
        assert named(workflow, "b").message == 'b: dependency "a" exited with non-zero code: 1'

    async def test_init_containers_go_first_and_sidecars_last(self, machine: Machine, tmp_path: Path) -> None:
        sidecar = 'trap "echo end >> /shared/log; exit 0" TERM; touch /shared/up; while true; do sleep 0.01; done'
        shared = [{"name": "shared", "mountPath": "/shared"}]
        claim = {"metadata": {"name": "shared"}, "spec": {}}
        main = "while [ ! -e /shared/up ]; do sleep 0.01; done; echo main >> /shared/log"
        workflow = await machine.run(
            {
                "name": "main",
                "initContainers": [
                    {"name": "first", "command": ["sh", "-c", "echo init > /shared/log"], "volumeMounts": shared}
                ],
                "container": {"image": "a", "command": ["sh", "-c", main], "volumeMounts": shared},
                "sidecars": [{"name": "beside", "command": ["sh", "-c", sidecar], "volumeMounts": shared}],
            },
            volumeClaimTemplates=[claim],
        )
        assert workflow.phase == "Succeeded", named(workflow, "w").message
        log = machine.executor.folder_of(workflow) / "volumes" / "shared" / "log"
        assert log.read_text() == "init\nmain\nend\n"

    async def test_a_sidecar_is_told_to_end_once(self, machine: Machine) -> None:
        shared = [{"name": "shared", "mountPath": "/shared"}]
        says_so_and_ends_at_its_leisure = (
            "trap 'echo told; told=$((told + 1))' TERM; touch /shared/up; while [ -z \"$told\" ]; do sleep 0.01; done;"
            " for i in $(seq 20); do echo $i; sleep 0.01; done; echo told $told times"
        )
        workflow = await machine.run(
            {
                "name": "main",
                "volumes": [{"name": "shared", "emptyDir": {}}],
                "container": {
                    "image": "a",
                    "command": ["sh", "-c", "while [ ! -e /shared/up ]; do sleep 0.01; done"],
                    "volumeMounts": shared,
                },
                "sidecars": [
                    {"name": "b", "command": ["sh", "-c", says_so_and_ends_at_its_leisure], "volumeMounts": shared}
                ],
            }
        )
        assert workflow.phase == "Succeeded", named(workflow, "w").message
        assert (await machine.log(workflow, "w", "b")).endswith("told 1 times\n")

    async def test_a_failed_init_container_keeps_the_others_from_starting(self, machine: Machine) -> None:
        template = shell("main", "echo never", initContainers=[{"name": "first", "command": ["false"]}])
        workflow = await machine.run(template)
        assert named(workflow, "w").message == "first: Error (exit code 1)"
        assert "result" not in (named(workflow, "w").outputs or {})
