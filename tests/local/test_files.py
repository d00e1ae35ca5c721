"""Parameters and artifacts pass through files, and nobody gets out of the run's folder by them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from engine.executors.local.artifacts import Artifacts
from engine.executors.local.folders import Runs
from engine.executors.local.leaf import remove
from engine.executors.local.paths import Paths
from tests.local.conftest import Machine, named, parameters, python, shell, steps


def leaves(*artifacts: dict[str, Any], **paths: Any) -> dict[str, Any]:
    """Outputs of a template: parameters by name and path, then artifacts."""
    return {
        "parameters": [
            {"name": name, "valueFrom": path if isinstance(path, dict) else {"path": path}}
            for name, path in paths.items()
        ],
        "artifacts": list(artifacts),
    }


def takes(**artifacts: Any) -> dict[str, Any]:
    """Arguments of a step: artifacts by name, given as where they come from or what they are."""
    given = ({"from": f"{{{{{each}}}}}"} if isinstance(each, str) else each for each in artifacts.values())
    return {"artifacts": [{"name": name, **each} for name, each in zip(artifacts, given, strict=True)]}


def inputs(*parameters: str, **paths: Any) -> dict[str, Any]:
    """Inputs of a template: parameters, then artifacts by name and path."""
    return {
        "parameters": [{"name": name} for name in parameters],
        "artifacts": [
            {"name": name, **(path if isinstance(path, dict) else {"path": path})} for name, path in paths.items()
        ],
    }


def _exists(path: str) -> bool:
    return Path("/", path).exists()


def _text(path: Path) -> str:
    return path.read_text()


class TestParameters:
    @pytest.mark.parametrize(
        "path", ["/tmp/result", "/tmp/hera-outputs/parameters/result", "/mnt/data/deep/result", "/result", "result"]
    )
    async def test_a_file_wherever_the_container_has_it(self, machine: Machine, path: str) -> None:
        template = shell("main", f"echo value > {path}", outputs=leaves(found=path))
        workflow = await machine.run(template)
        assert parameters(named(workflow, "w")) == {"found": "value"}
        assert not _exists(path)

    async def test_a_script_may_put_the_path_together(self, machine: Machine) -> None:
        source = "from pathlib import Path\n(Path('/tmp') / 'result').write_text('value\\n\\n')"
        workflow = await machine.run(python("main", source, outputs=leaves(found="/tmp/result")))
        assert parameters(named(workflow, "w")) == {"found": "value\n"}

    async def test_one_that_is_not_written_takes_its_default(self, machine: Machine) -> None:
        outputs = leaves(found={"path": "/tmp/result", "default": "none"})
        workflow = await machine.run(shell("main", "true", outputs=outputs))
        assert parameters(named(workflow, "w")) == {"found": "none"}

    async def test_one_that_is_not_written_and_has_no_default_is_an_error(self, machine: Machine) -> None:
        workflow = await machine.run(shell("main", "true", outputs=leaves(found="/tmp/result")))
        node = named(workflow, "w")
        assert node.phase == "Error"
        assert node.message.startswith("outputs.parameters.found: there is no file '/tmp/result', which is '")

    async def test_those_of_a_leaf_that_failed_are_read_too(self, machine: Machine) -> None:
        outputs = leaves(found="/tmp/result", other="/tmp/other")
        workflow = await machine.run(shell("main", "echo value > /tmp/result; exit 1", outputs=outputs))
        node = named(workflow, "w")
        assert (node.phase, node.message) == ("Failed", "main: Error (exit code 1)")
        assert parameters(node) == {"found": "value"}

    async def test_one_that_is_too_large_is_an_error(self, machine: Machine) -> None:
        source = "open('/tmp/result', 'w').write('x' * 262_145)"
        workflow = await machine.run(python("main", source, outputs=leaves(found="/tmp/result")))
        assert named(workflow, "w").message == "outputs.parameters.found: expected at most 256 KiB in '/tmp/result'"

    async def test_paths_that_a_leaf_prints_are_those_of_its_container(self, machine: Machine) -> None:
        first = shell("first", "echo x > /data/out/x; ls -d /data/out/x", outputs=leaves(found="/data/out/x"))
        second = shell("second", "echo y > '{{inputs.parameters.path}}'; cat /data/out/x", inputs=inputs("path"))
        second["outputs"] = leaves(found="/data/out/x")
        given = {"parameters": [{"name": "path", "value": "{{steps.first.outputs.result}}"}]}
        main = steps("main", {"name": "first"}, {"name": "second", "arguments": given})
        workflow = await machine.run(main, first, second)
        assert (named(workflow, "first").outputs or {})["result"] == "/data/out/x"
        assert (named(workflow, "second").outputs or {})["result"] == "y"


class TestArtifacts:
    async def test_a_file_passes_from_one_leaf_to_another(self, machine: Machine) -> None:
        first = shell("first", "echo hello > /tmp/out.txt", outputs=leaves({"name": "o", "path": "/tmp/out.txt"}))
        second = shell("second", "cat /in/here.txt; echo more >> /in/here.txt", inputs=inputs(i="/in/here.txt"))
        given = takes(i="steps.first.outputs.artifacts.o")
        rows = [{"name": name, "template": "second", "arguments": given} for name in ("second", "third")]
        workflow = await machine.run(steps("main", {"name": "first"}, *rows), first, second)
        assert workflow.phase == "Succeeded"
        assert [(named(workflow, name).outputs or {})["result"] for name in ("second", "third")] == ["hello"] * 2
        uid, (artifact,) = workflow.uid, (named(workflow, "first").outputs or {})["artifacts"]
        assert machine.executor.file_of(uid, artifact).read_text() == "hello\n"

    async def test_a_folder_passes_with_its_links(self, machine: Machine) -> None:
        script = "mkdir -p /tmp/o/sub; echo x > /tmp/o/sub/f; ln -s sub/f /tmp/o/link; chmod 700 /tmp/o/sub/f"
        first = shell("first", script, outputs=leaves({"name": "o", "path": "/tmp/o"}))
        second = shell("second", "cat /in/link; readlink /in/link; [ -x /in/sub/f ]", inputs=inputs(i="/in"))
        main = steps(
            "main", {"name": "first"}, {"name": "second", "arguments": takes(i="steps.first.outputs.artifacts.o")}
        )
        workflow = await machine.run(main, first, second)
        assert (named(workflow, "second").outputs or {})["result"] == "x\nsub/f"

    async def test_a_raw_one_and_its_mode(self, machine: Machine) -> None:
        script = {"raw": {"data": "#!/bin/sh\necho ran"}}
        template = shell("leaf", "/bin-of-mine/tool", inputs=inputs(tool={"path": "/bin-of-mine/tool", "mode": 0o755}))
        main = steps("main", {"name": "leaf", "arguments": takes(tool=script)})
        workflow = await machine.run(main, template)
        assert (named(workflow, "leaf").outputs or {})["result"] == "ran"

    async def test_a_part_of_one(self, machine: Machine) -> None:
        first = shell("first", "mkdir /o; echo x > /o/f", outputs=leaves({"name": "o", "path": "/o"}))
        second = shell("second", "cat /in", inputs=inputs(i="/in"))
        source = {"from": "{{steps.first.outputs.artifacts.o}}", "subPath": "f"}
        main = steps("main", {"name": "first"}, {"name": "second", "arguments": takes(i=source)})
        workflow = await machine.run(main, first, second)
        assert (named(workflow, "second").outputs or {})["result"] == "x"

    async def test_one_that_has_a_key_is_found_by_it(self, machine: Machine) -> None:
        first = shell("first", "echo x > /o", outputs=leaves({"name": "o", "path": "/o", "s3": {"key": "my/o.txt"}}))
        second = shell("second", "cat /in", inputs=inputs(i={"path": "/in", "s3": {"key": "my/o.txt"}}))
        workflow = await machine.run(steps("main", {"name": "first"}, {"name": "second"}), first, second)
        assert (named(workflow, "second").outputs or {})["result"] == "x"

    async def test_an_optional_one_may_be_missing(self, machine: Machine) -> None:
        outputs = leaves({"name": "o", "path": "/tmp/o", "optional": True})
        second = shell("second", "ls /in || echo none", inputs=inputs(i={"path": "/in", "optional": True}))
        given = {"from": "{{steps.first.outputs.artifacts.o}}", "optional": True}
        main = steps("main", {"name": "first"}, {"name": "second", "arguments": takes(i=given)})
        workflow = await machine.run(main, shell("first", "true", outputs=outputs), second)
        assert "artifacts" not in (named(workflow, "first").outputs or {})
        assert (named(workflow, "second").outputs or {})["result"] == "none"

    async def test_one_that_is_missing_is_an_error(self, machine: Machine) -> None:
        workflow = await machine.run(shell("main", "true", outputs=leaves({"name": "o", "path": "/tmp/o"})))
        node = named(workflow, "w")
        assert node.phase == "Error"
        assert node.message.startswith("outputs.artifacts.o: there is nothing at '/tmp/o', which is '")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({"s3": {"key": "absent"}}, "inputs.artifacts.i: no leaf of this workflow has left an artifact 'absent'"),
            ({"http": {"url": "http://localhost/x"}}, "inputs.artifacts.i.http: is not run by the local executor"),
            (
                {"s3": {"key": "../../secret"}},
                "inputs.artifacts.i: expected a key without '..' and empty parts, got '../../secret'",
            ),
        ],
    )
    async def test_one_that_cannot_be_had_is_an_error(
        self, machine: Machine, source: dict[str, Any], message: str
    ) -> None:
        workflow = await machine.run(shell("main", "true", inputs=inputs(i={"path": "/in", **source})))
        assert (named(workflow, "w").phase, named(workflow, "w").message) == ("Error", message)


class TestEscapes:
    """The secret lies beside the folder for all runs."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        secret = tmp_path / "secret"
        secret.write_text("secret")
        return secret

    @pytest.mark.parametrize("path", ["/tmp/../../secret", "../secret", "/tmp/x/.."])
    async def test_by_dots_in_a_path(self, machine: Machine, secret: Path, path: str) -> None:
        workflow = await machine.run(shell("main", "true", outputs=leaves(o=path)))
        assert named(workflow, "w").phase == "Error"
        assert named(workflow, "w").message == f"{path!r}: expected a path without '..'"

    async def test_by_dots_in_the_path_of_an_artifact(self, machine: Machine) -> None:
        """Others with dots Argo refuses already."""
        workflow = await machine.run(shell("main", "true", outputs=leaves({"name": "o", "path": "../secret"})))
        assert named(workflow, "w").message == "'../secret': expected a path without '..'"

    async def test_by_an_output_that_is_a_link(self, machine: Machine, secret: Path) -> None:
        for outputs in (leaves({"name": "o", "path": "/tmp/o"}), leaves(o="/tmp/o")):
            workflow = await machine.run(shell("main", f"ln -s {secret} /tmp/o", outputs=outputs))
            node = named(workflow, "w")
            assert (node.phase, node.message) == (
                "Error",
                f"'/tmp/o' leads out of the leaf's folder, to {str(secret)!r}",
            )
            assert "secret" not in str(node.outputs)

    async def test_by_a_folder_that_is_a_link(self, machine: Machine, secret: Path) -> None:
        script = f"rmdir /data; ln -s {secret.parent} /data"
        workflow = await machine.run(shell("main", script, outputs=leaves({"name": "o", "path": "/data/secret"})))
        assert "leads out of the leaf's folder" in named(workflow, "w").message

    async def test_by_a_link_within_a_folder(self, machine: Machine, secret: Path) -> None:
        script = f"mkdir /tmp/o; ln -s {secret} /tmp/o/link"
        workflow = await machine.run(shell("main", script, outputs=leaves({"name": "o", "path": "/tmp/o"})))
        node = named(workflow, "w")
        assert node.message == f"outputs.artifacts.o: the link 'link' leads out of it, to {str(secret)!r}"

    async def test_by_an_input_that_goes_through_a_link(self, machine: Machine, secret: Path) -> None:
        shared = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        first = shell("first", f"ln -s {secret.parent} /v/link")
        second = shell("second", "true", inputs=inputs(i={"path": "/v/link/secret", "raw": {"data": "overwritten"}}))
        first["script"] |= shared
        second["script"] |= shared
        claim = {"metadata": {"name": "v"}, "spec": {}}
        main = steps("main", {"name": "first"}, {"name": "second"})
        workflow = await machine.run(main, first, second, volumeClaimTemplates=[claim])
        assert "leads out of the leaf's folder" in named(workflow, "second").message
        assert _text(secret) == "secret"

    @pytest.mark.parametrize(
        "second",
        [
            {"workingDir": "/v/link/made", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"volumeMounts": [{"name": "v", "mountPath": "/w", "subPath": "link/made"}]},
        ],
        ids=["the working directory", "a part of a volume"],
    )
    async def test_by_a_folder_that_is_to_be_made_behind_a_link(
        self, machine: Machine, tmp_path: Path, second: dict[str, Any]
    ) -> None:
        templates = [shell("first", f"ln -s {tmp_path} /v/link"), shell("second", "true")]
        templates[0]["script"] |= {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        templates[1]["script"] |= second
        claim = {"metadata": {"name": "v"}, "spec": {}}
        main = steps("main", {"name": "first"}, {"name": "second"})
        workflow = await machine.run(main, *templates, volumeClaimTemplates=[claim])
        assert "leads out of the " in named(workflow, "second").message
        assert not (tmp_path / "made").exists()

    async def test_by_the_name_of_a_container(self, machine: Machine, tmp_path: Path) -> None:
        names = ("../../../../../../made", "a\tb", "..")
        for name in names:
            first = {"name": name, "image": "a", "command": ["true"]}
            workflow = await machine.run({**shell("main", "true"), "initContainers": [first]})
            assert "initContainers[0].name: expected" in named(workflow, "w").message
        assert not (tmp_path / "made").exists()

    async def test_by_the_key_of_an_output(self, machine: Machine, secret: Path) -> None:
        outputs = leaves({"name": "o", "path": "/tmp/o", "s3": {"key": "../../../secret"}})
        workflow = await machine.run(shell("main", "echo overwritten > /tmp/o", outputs=outputs))
        assert "expected a key without '..'" in named(workflow, "w").message
        assert _text(secret) == "secret"

    async def test_by_a_uid_that_is_a_path(self, machine: Machine) -> None:
        uid, expected = "../../elsewhere", r"metadata\.uid: expected letters"
        with pytest.raises(LookupError, match=expected):
            machine.executor.file_of(uid, {"name": "x", "s3": {"key": "x"}})
        with pytest.raises(LookupError, match=expected):
            machine.executor.logs(uid, "x")


class TestVolumes:
    async def test_a_claimed_one_lasts_as_long_as_its_workflow(self, machine: Machine) -> None:
        mount = {"volumeMounts": [{"name": "work", "mountPath": "/work-of-mine"}]}
        write, read = shell("write", "echo kept > /work-of-mine/f"), shell("read", "cat /work-of-mine/f")
        write["script"] |= mount
        read["script"] |= mount
        claim = {"metadata": {"name": "work"}, "spec": {}}
        main = steps("main", {"name": "write"}, {"name": "read"})
        workflow = await machine.run(main, write, read, volumeClaimTemplates=[claim])
        assert (named(workflow, "read").outputs or {})["result"] == "kept"

    async def test_a_config_map_is_files(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path, config_maps={"settings": {"data": {"color": "red"}}})
        template = shell("main", "cat /etc/of-mine/color", volumes=[{"name": "c", "configMap": {"name": "settings"}}])
        template["script"]["volumeMounts"] = [{"name": "c", "mountPath": "/etc/of-mine"}]
        workflow = await machine.run(template)
        assert (named(workflow, "w").outputs or {})["result"] == "red"

    async def test_one_of_another_kind_is_an_error(self, machine: Machine) -> None:
        template = shell("main", "true", volumes=[{"name": "h", "hostPath": {"path": "/etc"}}])
        template["script"]["volumeMounts"] = [{"name": "h", "mountPath": "/h"}]
        workflow = await machine.run(template)
        assert named(workflow, "w").message == "volumes.h.hostPath: is not run by the local executor"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in which anybody may do anything, for a process that is not the administrator's."""
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


@contextmanager
def as_another_user() -> Iterator[None]:
    user = os.geteuid()
    if os.getuid() != 0:
        pytest.skip("only the administrator may make files that are another user's")
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(user)


def artifacts_in(place: Path) -> Artifacts:
    """Those of a leaf whose root is a folder ``root`` there."""
    (place / "root").mkdir()
    return Artifacts(Runs(place), "u", "n", Paths(place / "root", {}, ["/out"], []))


OUT = {"name": "out", "path": "/out"}


def test_a_folder_that_cannot_be_read_is_not_left_in_part(place: Path) -> None:
    artifacts = artifacts_in(place)
    locked = place / "root" / "out" / "locked"
    locked.mkdir(parents=True)
    locked.chmod(0)
    with pytest.raises(PermissionError, match="locked"):
        artifacts.save(OUT)
    locked.chmod(0o700)


def test_files_of_another_user_are_left_as_copies(place: Path) -> None:
    artifacts = artifacts_in(place)
    with as_another_user():
        (place / "root" / "out").write_text("by a container of this machine's")
    artifacts.save(OUT)
    assert artifacts.kept("u/n/out", "").read_text() == "by a container of this machine's"


def test_folders_of_another_user_stay_and_all_else_goes(place: Path) -> None:
    root = place / "root"
    (root / "own").mkdir(parents=True)
    (root / "own" / "file").touch()
    with as_another_user():
        (root / "others" / "below").mkdir(parents=True)
    assert not remove(root)
    assert [each.name for each in root.iterdir()] == ["others"]
