"""The faults, all drawn from seeded dice: processes that die, hang and come back, and a configuration in motion."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from registry import Registry, load_config
from tests.soak.configuration import Configuration
from tests.soak.gauges import Gauges
from tests.soak.ledger import Ledger, Promise
from tests.soak.processes import Process, Processes

_PATIENCE: Final = 60.0
"""Seconds in which what follows from a fault must have followed; on a quiet machine it is half a second."""
_CLOSES: Final = 10.0
"""Seconds in which the connections to a plugin must be closed that nobody can call any more; idle ones last for 15."""
_LOOKS: Final = 0.05
"""Seconds between two looks whether it has."""
_STRIKE: Final = (1.0, 5.0)
_REWRITE: Final = (1.0, 4.0)
_INTERRUPT: Final = (5.0, 20.0)
"""Seconds between two faults of a kind."""
_DOWN: Final = (0.0, 0.5)


class Dice(random.Random):
    """Draws one stream of faults, and the pauses in it."""

    def __init__(self, seed: float, between: tuple[float, float], faults: float, until: float) -> None:
        super().__init__(seed)
        self._between = between[0] / faults, between[1] / faults
        self._until = until

    async def pause(self) -> bool:
        """Wait for the next fault; False where there is none, since the storm is over."""
        await asyncio.sleep(max(min(self.uniform(*self._between), self._until - monotonic()), 0.0))
        return monotonic() < self._until


class Storm:
    """Three streams of faults, running until `over` or cancelled."""

    def __init__(
        self, processes: Processes, configuration: Configuration, registry: Registry, gauges: Gauges, ledger: Ledger
    ) -> None:
        self.done: Counter[str] = Counter()
        """What was done, by kind."""
        self._processes = processes
        self._configuration = configuration
        self._registry = registry
        self._gauges = gauges
        self._ledger = ledger

    async def rage(self, until: float, dice: random.Random, faults: float, interrupt: Callable[[], None]) -> None:
        """Do harm until `until`, by `monotonic`, `faults` times as much as usual.

        `interrupt` ends the engine's loop, which then begins anew.
        """
        streams = (
            self._strike(Dice(dice.random(), _STRIKE, faults, until)),
            self._rewrite(Dice(dice.random(), _REWRITE, faults, until)),
            self._interrupt(Dice(dice.random(), _INTERRUPT, faults, until), interrupt),
        )
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                group.create_task(stream)

    async def calm(self) -> None:
        """Have every plugin run and behave, and the configuration name them all."""
        for process in self._processes:
            process.let_go()
            if process.calm != process.arguments or process.running is None:
                await process.end()
                process.start(calm=True)
        for process in self._processes:
            await process.listens()
        for plugin in self._configuration.plugins:
            plugin.present = True
        await self._configuration.write()
        await self._follows()

    async def stir(self) -> None:
        """Let the plugins that can make trouble make it again."""
        for process in self._processes:
            if process.calm != process.arguments:
                await process.end()
                process.start()

    # Processes

    async def _strike(self, dice: Dice) -> None:
        processes = list(self._processes)
        async with asyncio.TaskGroup() as struck:
            while await dice.pause():
                process, kind, down = dice.choice(processes), dice.random(), dice.uniform(*_DOWN)
                if process.running is None or process.held:
                    continue
                if kind < 0.3:
                    struck.create_task(self._hold(process, down))
                else:
                    struck.create_task(self._end(process, signal.SIGKILL if kind < 0.8 else signal.SIGTERM, down))

    async def _hold(self, process: Process, seconds: float) -> None:
        self.done["held still"] += 1
        process.hold()
        await asyncio.sleep(seconds)
        process.let_go()

    async def _end(self, process: Process, number: signal.Signals, down: float) -> None:
        self.done["killed" if number is signal.SIGKILL else "terminated"] += 1
        await process.end(number)
        await asyncio.sleep(down)
        process.start()

    # The engine's loop

    async def _interrupt(self, dice: Dice, interrupt: Callable[[], None]) -> None:
        while await dice.pause():
            self.done["loop interrupted"] += 1
            interrupt()

    # The configuration

    async def _rewrite(self, dice: Dice) -> None:
        configuration, registry = self._configuration, self._registry
        while await dice.pause():
            if dice.random() < 0.3:
                before, rejected = registry.config, registry.stats.rejected
                configuration.write_bad()
                self.done["configuration broken"] += 1
                noticed = await becomes_true(partial(self._rejected_more, rejected))
                self._ledger.expect(Promise.REJECTED, noticed, f"not noticed: {configuration.file.read_text()!r}")
                same = registry.config is before
                self._ledger.expect(Promise.REJECTED, same, f"taken over: {configuration.file.read_text()!r}")
            configuration.change()
            await configuration.write()
            self.done["configuration changed"] += 1
            await self._follows()

    def _rejected_more(self, than: int) -> bool:
        return self._registry.stats.rejected > than

    async def _follows(self) -> None:
        """The registry must come to have what is on disk now, and let go of what is not there any more."""
        file, registry = self._configuration.file, self._registry
        wanted = load_config(file)
        followed = await becomes_true(lambda: registry.config == wanted)
        self._ledger.expect(Promise.IN_FORCE, followed, f"not in force: {file.read_text()!r}")
        names = [plugin.name for plugin in self._configuration.present]
        found = [plugin.name for plugin in registry.snapshot()]
        self._ledger.expect(Promise.IN_FORCE, found == names, f"{found} instead of {names}")
        parts = [urlsplit(plugin.address) for plugin in self._configuration.present]
        present = {(part.hostname, part.port) for part in parts}
        ended = await becomes_true(lambda: registry.stats.draining == 0)
        self._ledger.expect(Promise.LET_GO, ended, f"{registry.stats.draining} lists of plugins are still leased")
        gone = await becomes_true(lambda: self._gauges.connections() <= present, _CLOSES)
        self._ledger.expect(Promise.LET_GO, gone, f"still connected to {self._gauges.connections() - present}")


async def becomes_true(condition: Callable[[], bool], patience: float = _PATIENCE) -> bool:
    """Wait until it does; False where that takes more than `patience` seconds.

    They are counted in looks: time in which a machine gives this process no turn is nobody's.
    """
    for _ in range(round(patience / _LOOKS)):
        if condition():
            return True
        await asyncio.sleep(_LOOKS)
    return condition()
