"""`oarlock run --ray`: workflows are reconciled by the actors of a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from engine.cli.program import run_program
from tests.acceptance.manifests import container, workflow
from tests.cluster.conftest import with_ray

pytestmark = with_ray


def test_workflows_run_in_a_cluster_and_their_leaves_here(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main = container("main", "sh", "-c", f"echo ran >> {tmp_path}/ran")
    works = [workflow(main, name=name).to_dict() for name in ("a", "b", "c")]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(works))
    options = ["--shards", "2", "--ray", cluster, "--executor", "local", "--work-dir", "runs", "--output", "json"]
    code = run_program(["run", "all.yaml", *options])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert [work["status"]["phase"] for work in json.loads(out)] == ["Succeeded"] * 3
    assert (tmp_path / "ran").read_text() == "ran\n" * 3
