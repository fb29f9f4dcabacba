"""The report to explore in a browser: charts, viewer, console, requests; and without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import explored_run
import numpy as np
import pandas as pd
import pytest
from chromium import chromium
from explored_run import SHOWN

from icmbench.reporting.figures.rd_curves import rd_curves

pytestmark = pytest.mark.browser
CHART = "document.querySelector('[data-chart=rd]')"
SECONDS = 20


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explored_run.build(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def opened(page: Path) -> Iterator[Any]:
    with chromium() as browser:
        browser.get(page.as_uri())
        yield browser


@pytest.fixture
def browser(opened: Any, page: Path) -> Any:
    """The page anew, its charts drawn."""
    opened.get(page.as_uri())
    drawn = "return [...document.querySelectorAll('.plot')].every(p => p.data?.length)"
    _until(opened, lambda: opened.execute_script(drawn))
    return opened


def _until(browser: Any, holds: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, SECONDS, 0.05).until(lambda _: holds())


def _part(browser: Any, role: str, box: str = "[data-chart=rd]") -> Any:
    return browser.find_element("css selector", f"{box} [data-role={role}]")


def _choose(browser: Any, role: str, text: str, box: str = "[data-chart=rd]") -> None:
    from selenium.webdriver.support.ui import Select

    Select(_part(browser, role, box)).select_by_visible_text(text)


def _place(browser: Any, x: float, y: float) -> tuple[int, int]:
    """A point of the axes in pixels from the middle of the plot."""
    script = f"""
      const plot = {CHART}.querySelector('.plot'), {{ xaxis, yaxis }} = plot._fullLayout;
      const frame = plot.getBoundingClientRect();
      const to = (v, a) => a.l2p(a.type === 'log' ? Math.log10(v) : v);
      return [xaxis._offset + to(arguments[0], xaxis) - frame.width / 2,
              yaxis._offset + to(arguments[1], yaxis) - frame.height / 2];"""
    left, top = browser.execute_script(script, x, y)
    return round(left), round(top)


def _mouse(browser: Any) -> Any:
    from selenium.webdriver import ActionChains

    return ActionChains(browser, duration=50)


def _into_view(browser: Any, element: Any) -> Any:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def _curves(browser: Any) -> list[str]:
    """The entries with a curve, by the traces that join points."""
    return list(
        browser.execute_script(
            f"return {CHART}.querySelector('.plot').data.filter(t => t.mode === 'lines+markers')"
            ".map(t => t.name)"
        )
    )


def _axis(browser: Any, name: str) -> tuple[str, list[float], str]:
    """Title, range and kind of an axis."""
    title, limits, kind = browser.execute_script(
        f"const a = {CHART}.querySelector('.plot')._fullLayout[arguments[0]];"
        "return [a.title.text, a.range, a.type]", name
    )  # fmt: skip
    return title, limits, kind


def test_hovering_a_point_shows_the_row_of_the_table(browser: Any) -> None:
    plot = _into_view(browser, _part(browser, "plot"))
    _mouse(browser).move_to_element_with_offset(plot, *_place(browser, 0.5, 30.5)).perform()
    hover = "[data-chart=rd] .hoverlayer .hovertext"
    _until(browser, lambda: browser.find_elements("css selector", hover))
    words = browser.find_element("css selector", hover).text
    for expected in ("jpeg:quality=30", "rate 0.5 bpp (0.45 … 0.55)",
                     "PSNR (RGB) 30.5 dB (29.5 … 32)"):  # fmt: skip
        assert expected in words
        assert expected in _part(browser, "readout").text
    assert "Pareto" not in words
    _mouse(browser).move_to_element_with_offset(plot, *_place(browser, 0.8, 30.0)).perform()
    _until(browser, lambda: "quality=50; " in _part(browser, "readout").text)
    assert "not Pareto-optimal" in _part(browser, "readout").text
    _mouse(browser).move_to_element_with_offset(plot, *_place(browser, 0.3, 32.0)).perform()
    _until(browser, lambda: "VTM" in _part(browser, "readout").text)
    assert explored_run.HOSTILE in _part(browser, "readout").text
    assert "bits: estimated" in _part(browser, "readout").text


def test_curves_switch_off_and_on_and_leave_the_axes(browser: Any) -> None:
    assert _curves(browser) == ["VTM (published, estimated bits)", "jpeg", "webp"]
    before = _axis(browser, "yaxis")[1]
    jpeg = browser.find_element("css selector", "[data-chart=rd] [data-curve=jpeg]")
    _into_view(browser, jpeg).click()
    _until(browser, lambda: _curves(browser) == ["VTM (published, estimated bits)", "webp"])
    assert _axis(browser, "yaxis")[1] == before
    # It stays off with another metric, which has no published points.
    _choose(browser, "metric", "GMSD")
    _until(browser, lambda: _curves(browser) == ["webp"])
    assert not browser.find_element(
        "css selector", "[data-chart=rd] [data-curve=jpeg]"
    ).is_selected()
    _part(browser, "all").click()
    _until(browser, lambda: _curves(browser) == ["jpeg", "webp"])
    _part(browser, "none").click()
    _until(browser, lambda: _curves(browser) == [])


def test_menus_choose_metric_data_set_and_scale(browser: Any) -> None:
    assert _axis(browser, "yaxis")[0] == "PSNR (RGB) (dB), higher is better ↑"
    title, (low, high), kind = _axis(browser, "xaxis")
    assert (title, kind) == ("rate (bits per pixel, log scale)", "log")
    assert 10**low < 0.2 < 2.2 < 10**high < 5
    _choose(browser, "metric", "GMSD")
    _until(browser, lambda: _axis(browser, "yaxis")[0] == "GMSD, lower is better ↓")
    _choose(browser, "view", "scenes")
    _until(browser, lambda: 10 ** _axis(browser, "xaxis")[1][1] > 4.4)
    assert _axis(browser, "yaxis")[0].startswith("GMSD"), "the metric stays"
    _choose(browser, "scale", "linear")
    _until(browser, lambda: _axis(browser, "xaxis")[2] == "linear")
    assert _axis(browser, "xaxis")[1][0] == 0
    _choose(browser, "view", "photos")
    _choose(browser, "metric", "Encode time")
    _until(browser, lambda: _axis(browser, "yaxis")[2] == "log")
    assert "s/MP" in _axis(browser, "yaxis")[0]
    tasks = browser.execute_script(
        "const p = document.querySelector('[data-chart=tasks] .plot');"
        "return [p.layout.yaxis.title.text, p.layout.annotations[0].text]"
    )
    assert tasks == ["mIoU, higher is better ↑", "originals 0.7"]


def test_axes_zoom_by_mouse_and_buttons_and_come_back(browser: Any) -> None:
    plot, rest = _into_view(browser, _part(browser, "plot")), _axis(browser, "xaxis")[1]
    start, end = _place(browser, 0.3, 29), _place(browser, 1.0, 34)
    mouse = _mouse(browser).move_to_element_with_offset(plot, *start).click_and_hold()
    mouse.move_to_element_with_offset(plot, *end).release().perform()
    _until(browser, lambda: _axis(browser, "xaxis")[1] != rest)
    assert 10 ** np.array(_axis(browser, "xaxis")[1]) == pytest.approx([0.3, 1.0], rel=0.03)
    assert _axis(browser, "yaxis")[1] == pytest.approx([29, 34], abs=0.2)
    _into_view(browser, _part(browser, "reset")).click()
    _until(browser, lambda: _axis(browser, "xaxis")[1] == pytest.approx(rest))
    _part(browser, "in").click()
    narrow = np.ptp(rest) / 1.5
    _until(browser, lambda: np.ptp(_axis(browser, "xaxis")[1]) == pytest.approx(narrow))
    _part(browser, "out").click()
    _until(browser, lambda: _axis(browser, "xaxis")[1] == pytest.approx(rest))


def test_keys_go_through_points_and_curves(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    plot = _part(browser, "plot")
    browser.execute_script("arguments[0].focus()", plot)
    seen = [_part(browser, "readout").text]
    assert seen[0].startswith("Point at the chart")
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_RIGHT):
        browser.switch_to.active_element.send_keys(key)
        before = seen[-1]
        _until(browser, lambda: _part(browser, "readout").text != before)  # noqa: B023
        seen.append(_part(browser, "readout").text)
    assert len(set(seen)) == 5
    assert "VTM" in seen[2]
    assert "jpeg" in seen[3]


def _canvas(browser: Any) -> np.ndarray:
    """The pixels that the viewer shows."""
    width, height, values = browser.execute_script(
        "const c = document.querySelector('[data-viewer] canvas');"
        "const all = [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data];"
        "return [c.width, c.height, all]"
    )
    pixels = np.array(values, np.uint8).reshape(height, width, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


def _equal(browser: Any, expected: np.ndarray) -> bool:
    shown = _canvas(browser)
    return shown.shape == expected.shape and bool((shown == expected).all())


def test_the_viewer_shows_the_archives_pixels_on_both_sides(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    stored = explored_run.archived(page.parent / "viewer" / "visual_0.zip")
    box = "[data-viewer]"
    viewer = _into_view(browser, browser.find_element("css selector", box))

    def divided(left: str, right: str, at: int) -> np.ndarray:
        return np.concatenate([stored[left][:, :at], stored[right][:, at:]], axis=1)

    _until(browser, lambda: _equal(browser, divided("original", "jpeg", 64)))
    _choose(browser, "left", _entry(viewer, "webp"), box)
    _until(browser, lambda: _equal(browser, divided("webp", "jpeg", 64)))
    slider = _part(browser, "slider", box)
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    _until(browser, lambda: _equal(browser, divided("webp", "jpeg", 66)))
    slider.send_keys(Keys.END)
    _until(browser, lambda: _equal(browser, stored["webp"]))
    slider.send_keys(Keys.HOME)
    _until(browser, lambda: _equal(browser, stored["jpeg"]))
    canvas = _part(browser, "canvas", box)
    quarter = canvas.size["width"] // 4
    _mouse(browser).move_to_element_with_offset(canvas, -quarter, 0).click().perform()
    _until(browser, lambda: _equal(browser, divided("webp", "jpeg", 32)))
    # Enlarged by whole pixels of the screen.
    assert canvas.size["width"] == 256
    _choose(browser, "zoom", "3 \u00d7", box)
    assert canvas.size["width"] == 384
    cells = [cell.text for cell in browser.find_elements("css selector", f"{box} tbody td")]
    given = {entry.family: entry.bpp for entry in explored_run.matched().entries}
    assert cells[:2] == [f"{given[name]:.4g}" for name in ("webp", "jpeg")]
    assert cells[2:4] == ["26.5", "25.5"]
    assert "better" in browser.find_element(
        "css selector", f"{box} tbody tr:nth-child(2) td"
    ).get_attribute("class")
    assert "webp:quality=20" in browser.find_element("css selector", f"{box} thead").text
    assert "No point near this rate: mpd." in _part(browser, "place", box).text


def _entry(viewer: Any, family: str) -> str:
    options = viewer.find_elements("css selector", "[data-role=left] option")
    return next(each.text for each in options if each.text.startswith(family))


def test_flicker_shows_one_image_and_the_other(browser: Any, page: Path) -> None:
    stored = explored_run.archived(page.parent / "viewer" / "visual_0.zip")
    button = _into_view(browser, _part(browser, "flicker", "[data-viewer]"))
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    for name in ("original", "jpeg", "original"):
        _until(browser, lambda: _equal(browser, stored[name]))  # noqa: B023
        assert _part(browser, "edge", "[data-viewer]").is_displayed() is False
    button.click()
    both = np.concatenate([stored["original"][:, :64], stored["jpeg"][:, 64:]], axis=1)
    _until(browser, lambda: _equal(browser, both))
    assert button.get_attribute("aria-pressed") == "false"


def test_nothing_is_requested_and_nothing_is_logged(browser: Any, page: Path) -> None:
    """After all states: the browser's own record of requests, not the page's."""
    for role, text in (("metric", "GMSD"), ("view", "scenes"), ("scale", "linear")):
        _choose(browser, role, text)
    _part(browser, "flicker", "[data-viewer]").click()
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [message["params"]["request"]["url"] for message in messages
             if message["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert asked, "the record holds at least the page"
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    # Chromium's advice on the canvas is for these tests, which read its pixels again and again.
    logged = [entry for entry in browser.get_log("browser")
              if "willReadFrequently" not in entry["message"]]  # fmt: skip
    assert logged == []


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_the_page_fits(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        _until(browser, lambda: browser.execute_script(
            "return [...document.querySelectorAll('.plot')].every("
            "p => Math.abs(p.clientWidth - p._fullLayout.width) < 2)"))  # fmt: skip
        script = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
        needed, given = browser.execute_script(script)
        assert needed == given
        assert given > width - 20
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_javascript_the_page_says_so_and_shows_its_tables(page: Path) -> None:
    with chromium(scripts=False) as browser:
        browser.get(page.as_uri())
        words = browser.find_element("css selector", "main").text
        assert "This browser runs no JavaScript" in words
        assert browser.find_element("css selector", "img.fallback").size["width"] > 300
        assert browser.find_element("id", "data-rd").is_displayed()
        assert not browser.find_element("css selector", "[data-chart=rd]").is_displayed()
        browser.find_element("css selector", "summary").click()
        assert browser.find_element("css selector", ".files a").get_attribute("href").endswith(
            "figures/rd_photos.png"
        )  # fmt: skip


NAMES = ("constructor", "toString", "hasOwnProperty", "001")


def test_names_of_javascript_single_points_and_metrics_without_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codecs named as properties of objects are; views of one point and of none; no task."""
    points = [(name, 0.2 * n, 25.0 + n) for n in (1, 2, 3) for name in NAMES]
    rows = [
        {"dataset": dataset, "codec": f"{name}:q={bpp:.1f}", "family": name, "images": 3,
         "failed": 0, "bpp": bpp, "psnr_rgb": psnr, "gmsd": np.nan}
        for dataset, chosen in (("many 'of' <b>", points), ("one", points[:1]), ("none", points))
        for name, bpp, psnr in chosen
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[table["dataset"] == "none", "psnr_rgb"] = np.nan
    published = pd.concat([
        explored_run.published_table().assign(codec=codec, dataset=rows[0]["dataset"])
        for codec in ("__proto__", "constructor", '"); alert(1); //')
    ])  # fmt: skip
    for name, value in (
        ("rd_table", table), ("published_table", published), ("tasks_table", pd.DataFrame()),
        ("timing_table", table.iloc[:0].assign(megapixels=1.0, device="")),
    ):  # fmt: skip
        monkeypatch.setattr(explored_run, name, lambda value=value: value)
    monkeypatch.setattr(explored_run, "rd_curves", lambda _, *rest: rd_curves(table, "one", SHOWN))
    page = explored_run.build(tmp_path)
    with chromium() as browser:
        browser.get(page.as_uri())
        note = "return document.querySelector('[data-chart=rd] [data-role=note]').textContent"
        drawn = "return document.querySelector('[data-chart=rd] .plot')?.data?.length"
        _until(browser, lambda: browser.execute_script(drawn))
        assert {*NAMES} < {*_curves(browser)}
        assert {name for name in _curves(browser) if "published" in name} == {
            f"{codec} (published, estimated bits)"
            for codec in ("__proto__", "constructor", '"); alert(1); //')
        }
        _choose(browser, "view", "one")
        _until(browser, lambda: _curves(browser) == [NAMES[0]])
        _choose(browser, "view", "none")
        _until(browser, lambda: "No codec has a point." in browser.execute_script(note))
        _choose(browser, "view", rows[0]["dataset"])
        _until(browser, lambda: len(_curves(browser)) == 7)
        assert [entry["message"] for entry in browser.get_log("browser")] == []
