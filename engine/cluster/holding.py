"""The workflows of a fleet: what is kept of each, and what becomes of what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property

import orjson

from engine.cluster.asking import Asked
from engine.cluster.custody import Leaves
from engine.cluster.following import Following
from engine.executors.executor import Result
from engine.model.encoding import UNENCODABLE, encode
from engine.model.node import ERROR
from engine.model.workflow import Workflow
from engine.reconciling.roll import Roll
from engine.shape import check_outputs


class Held:
    """One workflow, until it is over."""

    def __init__(self, workflow: Workflow, leaves: Leaves) -> None:
        self.workflow = workflow
        self.leaves = leaves
        self.following = Following(workflow)
        self.waiting: dict[object, Callable[[], None]] = {}
        self.asked: list[Asked] = []
        """What the shard is to be asked that has it next."""
        self.said = False
        """Whether anything was said of it but that it is there."""
        self.why = ""
        """Why it did not go on when somebody asked last."""

    @cached_property
    def written(self) -> asyncio.Future[None]:
        """Done once the store has its submission."""
        return asyncio.get_running_loop().create_future()

    def reported(self, node_id: str) -> Result | None:
        """What was reported of a leaf and no durable change has taken up."""
        return self.leaves.reported(node_id)

    def tell_waiting(self) -> None:
        """The workflow is over, or will not be here."""
        waiting, self.waiting = self.waiting, {}
        for tell in waiting.values():
            tell()


class Roster(Roll[Held]):
    """Those that are not finished. ``came`` makes what is kept of a new one, ``heard`` is told what a shard is to hear
    of leaves: its epoch, and that."""

    def __init__(
        self,
        limit: int | None,
        came: Callable[[Workflow], Held],
        heard: Callable[[int, str, list[str], Result], None],
    ) -> None:
        super().__init__(limit)
        self._sound = Result("")
        """The last one that can be read: many leaves come to the same."""
        self._came = came
        self._heard = heard

    def by_uid(self, uid: str) -> Held | None:
        """The workflow of a uid."""
        return self._by_uid.get(uid)

    def _new(self, workflow: Workflow) -> Held:
        return self._came(workflow)

    def wake(self, key: str) -> None:
        """Its shard knows by itself."""

    def report(self, workflow: Workflow, node_id: str, result: Result) -> None:
        """As of any roll. Of what is said first of a leaf that was started nothing is to be asked."""
        held = self.find(workflow)
        if type(result) is Result:
            if result is not self._sound:
                result = self._readable(result)
            if held is not None and held.leaves.first(node_id, result):
                held.said = True
                self._heard(held.leaves.epoch, workflow.uid, [node_id], result)
                return
        super().report(workflow, node_id, result)

    def note(self, run: Held, node_id: str, result: Result) -> None:
        """What became of a leaf: kept until that is taken up, and told to the shard that has the workflow."""
        self.note_all(run, [node_id], result)

    def note_all(self, run: Held, node_ids: list[str], result: Result) -> None:
        """Likewise, of several that have come to the same."""
        run.said, result = True, self._readable(result)
        if told := run.leaves.note(node_ids, result):
            self._heard(run.leaves.epoch, run.workflow.uid, told, result)

    def drop(self, held: Held, *, parting: bool = False) -> None:
        """It is over, or to be known no more: whoever waits for it hears of that."""
        self._remove(held)
        if parting:
            self._parting.add(held.workflow)
        held.tell_waiting()

    def parted(self, workflow: Workflow) -> None:
        """Nothing of it is left anywhere: it may be submitted again."""
        self._parting.discard(workflow)

    def _readable(self, result: Result) -> Result:
        """It; or an Error, as an engine's next pass makes of what it cannot read: a shard would not even get that."""
        if result is self._sound:
            return result
        try:
            encode(result)
            for each in (result, *(result.containers.values() if result.containers is not None else ())):
                "".join((each.phase, each.message, each.pod_ip, each.progress, each.host_node_name))
                if each.outputs is not None:
                    check_outputs(each.outputs)
                    orjson.dumps(each.outputs)  # which has a bound on how deep it may be
        except (*UNENCODABLE, AttributeError) as error:
            return Result(ERROR, f"outputs that cannot be read: {error}")
        self._sound = result
        return result
