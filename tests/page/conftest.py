"""A browser without a window, one for all tests of a module; without one installed they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.processes import PATIENCE
from tests.serving.inside import Inside

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Open(Protocol):
    """Opens the page of a server, at a place after the ``#``; ``options`` are those of a browser's context."""

    async def __call__(self, server: Inside, place: str = "/", **options: Any) -> Page: ...


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no browser: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE * 1000
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def opened(browser: Browser) -> AsyncIterator[Open]:
    """Nothing that the page does may end in an error, in a request to elsewhere, or in a window of a script's."""
    wrong: list[str] = []
    async with AsyncExitStack() as stack:

        async def opened(server: Inside, place: str = "/", **options: Any) -> Page:
            context = await browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("dialog", lambda dialog: wrong.append(dialog.message))
            page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
            page.on(
                "request",
                lambda sent: (
                    wrong.append(sent.url) if not sent.url.startswith((server.url, "blob:", "data:")) else None
                ),
            )
            await page.goto(f"{server.url}/#{place}")
            return page

        yield opened
    assert not wrong
