"""The report in headless Chromium (`make test-report`): CHROMIUM names the browser, else Playwright's own runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.test_page import NETWORKS, SECTIONS, example
from toolflow.report.page.charts import charts
from toolflow.report.page.page import write_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or None, args=["--no-sandbox"], chromium_sandbox=False
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(example(), NETWORKS, "zynq", path)
    return path


def opened(browser: Any, report: Path, width: int, scheme: str = "light") -> tuple[Any, list[str]]:
    """Open the page, and return it with what it wrote to the console and what it asked the network for."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(report.as_uri())
    page.wait_for_selector("body[data-drawn]")
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_every_section_is_readable(browser: Any, report: Path, width: int, scheme: str) -> None:
    page, said = opened(browser, report, width, scheme)
    assert said == []
    for name in SECTIONS:
        box = page.locator(f"section#{name}").bounding_box()
        assert box["height"] > 80, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".chart svg").count() == len(charts(example()))
    for chart in page.locator(".chart svg").all():
        assert chart.bounding_box()["width"] <= width
    sizes = page.evaluate(
        "[...document.querySelectorAll('main *')]"
        ".filter(e => e.offsetParent && !e.closest('svg'))"
        ".filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
    page.close()


def test_the_slider_moves_the_figures_and_the_mark(browser: Any, report: Path) -> None:
    page, said = opened(browser, report, 1600)

    def read() -> dict[str, str]:
        places = page.locator("[data-read]").all()
        return {place.get_attribute("data-read"): place.text_content() for place in places}

    def marked() -> str:
        inner = page.locator(".chart[data-chart=cascade] svg").inner_html()
        assert isinstance(inner, str)
        return inner

    assert read() == {
        "threshold": "0.3019", "chosen": "built", "forwarded": "18.80 %", "accuracy": "87.65 %", "speed": "1,600,000",
    }  # fmt: skip
    before = marked()
    page.locator("#threshold").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert read() == {
        "threshold": "forward all", "chosen": "", "forwarded": "100.00 %", "accuracy": "88.00 %", "speed": "800,000",
    }  # fmt: skip
    assert marked() != before
    assert said == []
    page.close()


def test_it_prints(browser: Any, report: Path) -> None:
    page, said = opened(browser, report, 1600, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert said == []
    page.close()
