"""Retries: how many, after what, how long between them, and what they read of one another."""

from __future__ import annotations

import pytest

from engine import Engine, PendingExecutor, Result
from tests.engine.graph.running import START, Ran, run, workflow


def retried(strategy: str, fields: str = "", head: str = "") -> str:
    return (
        f"{head}templates: [{{name: main, retryStrategy: {{{strategy}}}, container: {{image: i, "
        f"args: ['{{{{retries}}}} {{{{lastRetry.exitCode}}}} {{{{lastRetry.status}}}}']}}, "
        f"{fields}}}]"
    )


def attempts(ran: Ran) -> list[str]:
    return [ran[name].phase for name in ran.children("wf")]


class TestLimit:
    @pytest.mark.parametrize("limit", ["2", "'2'", "'{{workflow.parameters.n}}'"])
    def test_so_many_more_attempts(self, limit: str) -> None:
        ran = run(
            retried(f"limit: {limit}", head="arguments: {parameters: [{name: n, value: 2}]}\n"),
            "{main: {phase: Failed}}",
        )
        assert attempts(ran) == ["Failed"] * 3
        assert (ran["wf"].type, ran["wf"].phase) == ("Retry", "Failed")
        assert ran.message == "No more retries left"
        assert ran["wf(1)"].node_flag == {"retried": True}

    def test_until_one_succeeds(self) -> None:
        ran = run(retried("limit: 5"), "{main: [{phase: Failed}, {phase: Failed}, {result: x}]}")
        assert attempts(ran) == ["Failed", "Failed", "Succeeded"]
        assert (ran.phase, ran.message) == ("Succeeded", "")
        assert ran["wf"].outputs == ran["wf(2)"].outputs

    def test_none_is_none(self) -> None:
        assert attempts(run(retried("limit: 0"), "{main: {phase: Failed}}")) == ["Failed"]

    def test_what_is_no_number(self) -> None:
        ran = run(retried("limit: '{{workflow.name}}'"), "{main: {phase: Failed}}")
        assert ran.phase == "Error"
        assert ran.message == "error in entry template execution: retryStrategy.limit: expected an integer, got 'wf'"

    def test_without_one_there_is_no_end_but_success(self) -> None:
        ran = run(retried("retryPolicy: Always"), "{main: [" + "{phase: Failed}, " * 40 + "{}]}")
        assert len(attempts(ran)) == 41


class TestPolicy:
    @pytest.mark.parametrize(
        ("policy", "phase", "message", "count"),
        [
            ("OnFailure", "Failed", "", 3),
            ("OnFailure", "Error", "", 1),
            ("OnError", "Error", "", 3),
            ("OnError", "Failed", "", 1),
            ("Always", "Failed", "", 3),
            ("Always", "Error", "", 3),
            ("OnTransientError", "Error", "dial tcp: i/o timeout", 3),
            ("OnTransientError", "Error", "no", 1),
        ],
    )
    def test_after_which_phases(self, policy: str, phase: str, message: str, count: int) -> None:
        ran = run(retried(f"limit: 2, retryPolicy: {policy}"), f"{{main: {{phase: {phase}, message: {message!r}}}}}")
        assert attempts(ran) == [phase] * count
        assert ran["wf"].phase == phase
        if count == 1:
            assert ran["wf"].message == ran["wf(0)"].message

    def test_failures_are_retried_where_nothing_is_said_and_errors_where_an_expression_is(self) -> None:
        assert len(attempts(run(retried("limit: 1"), "{main: {phase: Error}}"))) == 1
        assert len(attempts(run(retried("limit: 1, expression: 'true'"), "{main: {phase: Error}}"))) == 2


class TestExpression:
    def test_it_decides_on_the_last_attempt(self) -> None:
        ran = run(
            retried("limit: 9, expression: 'asInt(lastRetry.exitCode) > 1 && lastRetry.status == \"Failed\"'"),
            "{main: [{phase: Failed, exitCode: 3}, {phase: Failed, exitCode: 1}]}",
        )
        assert len(attempts(ran)) == 2
        assert ran.message == "retryStrategy.expression evaluated to false"

    def test_one_that_cannot_be_evaluated_is_an_error(self) -> None:
        ran = run(retried("limit: 9, expression: 'nothing.at.all'"), "{main: {phase: Failed}}")
        assert ran.phase == "Error"

    def test_an_attempt_without_an_exit_code_has_one_for_the_expression_and_another_for_the_template(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              retryStrategy: {limit: 2, expression: "lastRetry.exitCode == '-1'"}
              steps: [[{name: a, template: echo, arguments: {parameters: [{name: text,
                value: "{{lastRetry.exitCode}}"}]}}]]
            """,
            "{echo: {phase: Failed}}",
        )
        assert attempts(ran) == ["Failed"] * 3
        assert ran.text("a") == "0"

    def test_attempts_read_about_the_last_one(self) -> None:
        ran = run(retried("limit: 2"), "{main: {phase: Failed, exitCode: 4}}")
        args = [ran.executor.started[f"wf({n})"]["container"]["args"][0] for n in range(3)]
        assert args == ["0 0 ", "1 4 Failed", "2 4 Failed"]


class TestBackoff:
    def starts(self, strategy: str, ends: str = "{main: {phase: Failed}}") -> list[int]:
        ran = run(retried(strategy), ends)
        from engine.substitution.variables import parse_time

        return [int(parse_time(ran[name].started_at or "").timestamp() - START) for name in ran.children("wf")]

    def test_it_grows_by_its_factor(self) -> None:
        assert self.starts("limit: 4, backoff: {duration: 10, factor: 2}") == [0, 10, 30, 70, 150]
        assert self.starts("limit: 2, backoff: {duration: 1m}") == [0, 60, 120]
        assert self.starts("limit: 3, backoff: {duration: 10s, factor: '3', cap: 40s}") == [0, 10, 40, 80]

    def test_without_a_limit_there_is_no_waiting(self) -> None:
        ends = "{main: [{phase: Failed, duration: 3s}, {phase: Failed, duration: 3s}, {}]}"
        assert self.starts("backoff: {duration: 10s}", ends) == [0, 3, 6]

    def test_attempts_without_limit_that_take_no_time_are_a_second_apart_so_that_time_goes_on(self) -> None:
        assert self.starts("retryPolicy: Always", "{main: [{phase: Failed}, {phase: Failed}, {}]}") == [0, 1, 2]
        ran = run(retried("retryPolicy: Always"), "{main: {phase: Failed}}", timeout=60.0)
        assert ran.phase == "Running"
        assert len(attempts(ran)) == 60
        ran = run(retried("retryPolicy: OnError"), "{main: {phase: Failed}}")
        assert ran["wf"].finished_at == ran["wf(0)"].finished_at

    def test_not_longer_than_its_max_duration(self) -> None:
        assert self.starts("limit: 9, backoff: {duration: 10s, factor: 2, maxDuration: 40s}") == [0, 10, 30]
        ran = run(retried("limit: 9, backoff: {duration: 10s, maxDuration: 25s}"), "{main: {phase: Failed}}")
        assert ran.message == "Backoff would exceed max duration limit"

    def test_an_attempt_is_stopped_at_the_max_duration_unless_it_is_the_first(self) -> None:
        ends = "{main: [{phase: Failed, duration: 20s}, {duration: 1h}]}"
        ran = run(retried("limit: 9, backoff: {duration: 5s, maxDuration: 40s}"), ends)
        assert ran["wf(1)"].message == "Step exceeded its deadline"
        assert ran.executor.stopped == ["wf(1)"]
        assert attempts(ran) == ["Failed", "Failed"]

    @pytest.mark.parametrize(
        "backoff", ["{factor: 2}", "{duration: soon}", "{duration: 1s, factor: 1.5}", "{duration: 1s, maxDuration: x}"]
    )
    def test_what_makes_no_sense_is_an_error(self, backoff: str) -> None:
        assert run(retried(f"limit: 1, backoff: {backoff}"), "{main: {phase: Failed}}").phase == "Error"

    def test_the_node_says_that_it_waits(self) -> None:
        ran = run(retried("limit: 1, backoff: {duration: 2h}"), "{main: {phase: Failed}}", timeout=3600.0)
        assert (ran["wf"].phase, ran["wf"].message) == ("Running", "Backoff for 2 hours 0 minutes")

    @pytest.mark.parametrize(
        ("duration", "words"),
        [
            ("1", "1 second"),
            ("59s", "59 seconds"),
            ("1m", "1 minute 0 seconds"),
            ("90m", "1 hour 30 minutes"),
            ("50h", "2 days 2 hours"),
            ("340h", "2 weeks 4 hours"),
        ],
    )
    def test_how_long_in_words(self, duration: str, words: str) -> None:  # Argo's humanize.Duration
        ran = run(retried(f"limit: 1, backoff: {{duration: {duration}}}"), "{main: {phase: Failed}}", timeout=0.5)
        assert ran["wf"].message == f"Backoff for {words}"

    def test_less_than_none_is_no_waiting_and_a_max_duration_that_is_over(self) -> None:  # ParseStringToDuration
        assert self.starts("limit: 2, backoff: {duration: -5, factor: 2}") == [0, 0, 0]
        assert self.starts("limit: 2, backoff: {duration: 1m, cap: -1s}") == [0, 0, 0]
        assert self.starts("limit: 2, backoff: {duration: 0}") == [0, 0, 0]
        for longest in ("-1s", "0"):
            ran = run(
                retried(f"limit: 2, backoff: {{duration: 1s, maxDuration: {longest}}}"),
                "{main: {phase: Failed, duration: 1s}}",
            )
            assert (attempts(ran), ran.message) == (["Failed"], "Max duration limit exceeded")


class TestWhatIsRetried:
    async def test_a_daemon_that_comes_up_as_its_time_is_over(self) -> None:
        work = workflow(
            """
            templates:
            - {name: main, steps: [[{name: d, template: up}]]}
            - {name: up, daemon: true, activeDeadlineSeconds: 2, retryStrategy: {limit: 1}, container: {image: i}}
            """
        )
        now = START
        engine = Engine(executor=PendingExecutor(), clock=lambda: now)
        await engine.reconcile(work)
        (first,) = (node for node in work.nodes.values() if node.display_name == "d(0)")
        now += 2
        engine.report(work, first.id, Result("Running", pod_ip="10.0.0.1"))
        await engine.reconcile(work)
        phases = {node.display_name: node.phase for node in work.nodes.values()}
        assert (phases["d(0)"], phases["d(1)"], phases["d"]) == ("Failed", "Running", "Running")

    def test_steps_and_dags(self) -> None:
        ran = run(
            "templates: [{name: main, retryStrategy: {limit: 1}, steps: [[{name: a, template: leaf}]]}]",
            "{leaf: [{phase: Failed}, {}]}",
        )
        assert attempts(ran) == ["Failed", "Succeeded"]
        assert ran.phase == "Succeeded"

    def test_everything_where_the_workflow_says_so(self) -> None:
        ran = run(
            "retryStrategy: {limit: 1}\ntemplates: [{name: main, steps: [[{name: a, template: leaf}]]}]",
            "{leaf: {phase: Failed}}",
        )
        assert ran["a"].type == "Retry"
        assert ran["wf"].type == "Retry"
        assert len([name for name in ran.nodes if name.startswith("a(")]) == 2

    def test_a_later_step_reads_the_last_attempt(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps: [[{name: a, template: r}], [{name: b, template: echo, arguments: {parameters: [{name: text,
                value: "{{steps.a.outputs.result}} {{steps.a.id}}"}]}}]]
            - {name: r, retryStrategy: {limit: 1}, script: {image: i, source: x}}
            """,
            "{r: [{phase: Failed}, {result: second}]}",
        )
        assert ran.text("b") == f"second {ran['a(1)'].id}"

    def test_only_the_first_of_a_groups_outbound_nodes_counts(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps: [[{name: a, template: r}], [{name: b, template: leaf}]]
            - {name: r, retryStrategy: {limit: 1}, container: {image: i}}
            """,
            "{r: [{phase: Failed}, {}]}",
        )
        assert ran.children("a(1)") == ["[1]"]
        assert ran.children("a") == ["a(0)", "a(1)"]
