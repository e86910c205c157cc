"""The page in a real browser, over a real service with a real run of the synthetic world."""

import csv
import json
import time

import httpx
import numpy as np
import pytest
from browser import DESKTOP, PHONE, browser
from http_server import free_port, serving

from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.settings import ServingSettings

PROBLEM = load_problem()
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("downloads")) as made:
        yield made


@pytest.fixture(scope="module")
def service(chrome, finished_run, ray_session, aimat_store):
    """Address of a service with the surrogate of the run, and the run's folder."""
    from aimat_ray.registry.deployment import stop_surrogate_service
    from aimat_ray.serving.service import published_hub, start_http_service

    folder, _ = finished_run
    http = {"port": free_port(), "num_cpus": 0.1}
    settings = ServingSettings.model_validate(
        {"data": "oracle", "runs": folder.parent, "store": aimat_store, "http": http, "surrogate": {"num_cpus": 0.2}}
    )
    hub = published_hub(settings)
    start_http_service(hub, settings, app_name="page-test")
    yield f"http://127.0.0.1:{http['port']}", folder
    stop_surrogate_service(shutdown=True)
    hub.stop()


@pytest.fixture
def page(chrome, service):
    """The browser before the page; afterwards its console must be empty."""
    chrome.complaints()
    chrome.url = service[0]
    yield chrome
    assert chrome.complaints() == []


def ready(page):
    """Wait until the answer to the newest question is shown."""
    page.wait(lambda: page.all(".property") and page.one("#alloy-result").get_attribute("aria-busy") == "false")


def show(page, formula, **more):
    page.open(f"{page.url}/#alloy?f={formula}", **more)
    ready(page)


def amounts(page):
    return dict(
        page.js(
            """return [...document.querySelectorAll('.slider')].map(
                 (row) => [row.dataset.element, Number(row.querySelector('input').value)])"""
        )
    )


# ---------------------------------------------------------------------- alloy


def test_a_formula_gets_the_services_own_answer(page):
    page.open(f"{page.url}/")
    ready(page)
    page.type("#formula", "Zr65Cu17.5Ni10Al7.5")
    page.one("#formula-form button").click()
    page.wait(lambda: page.text("#composition").replace("\n", "") == "Zr65Cu17.5Ni10Al7.5")
    answer = httpx.post(f"{page.url}/v1/predict", json={"alloys": "Zr65Cu17.5Ni10Al7.5", "nearest": 5}).json()
    (alloy,) = answer["predictions"]
    ready(page)
    assert page.text("#version") == answer["surrogate_version"]
    assert f"{100 * alloy['p_bmg']:.0f} %" in page.text("#verdicts")
    for spec in PROBLEM.properties:
        value = alloy["properties"][spec.key]
        shown = page.text(f'.property[data-key="{spec.key}"]')
        assert spec.unit in shown
        for name in ("value", "lower", "upper"):
            assert any(near(word, value[name]) for word in shown.split()), (spec.key, name, value[name], shown)
        picture = page.one(f'.property[data-key="{spec.key}"] svg')
        assert "90 % interval" in picture.get_attribute("aria-label")
        assert page.all(f'.property[data-key="{spec.key}"] .bar')
        assert page.all(f'.property[data-key="{spec.key}"] .band')
    assert [line.split("\n")[0] for line in page.texts("#nearest li")] == [
        near_["formula"] for near_ in alloy["nearest"]
    ]


def near(word, value):
    """Whether a shown number is the value, but for rounding."""
    try:
        shown = float(word.replace("−", "-"))
    except ValueError:
        return False
    return shown == pytest.approx(value, rel=0.006, abs=0.0006)


def test_sliders_keep_the_sum_and_ask_again(page):
    show(page, "Zr60Cu20Ni10Al10")
    before = page.text('.property[data-key="dmax_mm"] .value')
    slider = page.one("#slider-Cu")
    slider.send_keys(*["\ue014"] * 30)  # the right arrow, 0.1 at% each
    page.wait(lambda: amounts(page)["Cu"] == pytest.approx(23.0))
    assert sum(amounts(page).values()) == pytest.approx(100, abs=0.05)
    page.wait(
        lambda: page.text("#composition").startswith("Zr") and "Cu23" in page.text("#composition").replace("\n", "")
    )
    ready(page)
    assert page.text('.property[data-key="dmax_mm"] .value') != before
    assert "Cu23" in page.js("return location.hash")


def test_an_element_can_be_added_and_removed(page):
    show(page, "Zr60Cu20Ni10Al10")
    page.choose("#add-element", "Ti")
    page.one("#add").click()
    page.wait(lambda: amounts(page).get("Ti") == pytest.approx(2.0))
    assert page.focused() == "slider-Ti"
    assert sum(amounts(page).values()) == pytest.approx(100, abs=0.05)
    page.wait(lambda: "Ti2" in page.text("#composition").replace("\n", ""))
    page.one('[aria-label="Remove Ti"]').click()
    page.wait(lambda: "Ti" not in amounts(page))
    assert sum(amounts(page).values()) == pytest.approx(100, abs=0.05)


def test_another_base_brings_its_window_and_an_example(page):
    page.open(f"{page.url}/")
    ready(page)
    page.choose("#base", "Fe")
    page.wait(lambda: "Fe" in amounts(page) and page.text("#composition").startswith("Fe"))
    document = httpx.get(f"{page.url}/v1/bases/Fe").json()
    assert set(amounts(page)) == set(document["example"])
    page.wait(lambda: "those of Fe" in page.text("#legend"))


def test_the_link_reproduces_the_view(page):
    show(page, "Mg65Cu25Y10")
    page.wait(lambda: page.js("return document.getElementById('base').value") == "Mg")
    link, shown = page.driver.current_url, page.texts(".property .value")
    assert "Mg65Cu25Y10" in link
    page.open(link)
    ready(page)
    page.wait(lambda: page.js("return document.getElementById('base').value") == "Mg")
    assert page.texts(".property .value") == shown


def test_outside_the_domain_the_page_says_so_and_why(page):
    show(page, "Zr41.2Ti13.8Cu12.5Ni10Be22.5")
    verdict = page.one("#domain")
    assert "warn" in verdict.get_attribute("class")
    assert "Outside the domain" in verdict.text
    assert "no measured alloy has" in verdict.text
    assert "Be does not occur in the Zr window" in page.text("#window-note")


@pytest.mark.parametrize(
    "formula", ["Xx50Zr50", "Zr-5Cu50", "<img src=x onerror=\"document.title='owned'\">", "'; DROP TABLE alloys; --"]
)
def test_a_bad_formula_is_refused_beside_the_field_and_never_becomes_markup(chrome, service, formula):
    chrome.url = service[0]
    show(chrome, "Zr60Cu20Ni10Al10")
    chrome.type("#formula", formula)
    chrome.press("\ue007")
    error = chrome.wait(lambda: chrome.text("#formula-error"))
    assert "formula" in error
    assert chrome.one("#formula").get_attribute("aria-invalid") == "true"
    assert chrome.js("return document.title") == "aimat-ray · Alloy"
    assert chrome.all("main img") == []
    # the answer 422 is the one thing that the console may name
    assert [line for line in chrome.complaints() if "422" not in line] == []
    chrome.type("#formula", "Zr60Cu30Al10")
    chrome.press("\ue007")
    chrome.wait(lambda: chrome.text("#formula-error") == "")


def test_a_hostile_link_never_becomes_markup(chrome, service):
    hostile = "%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D1%3E"
    for view in (
        f"alloy?f={hostile}",
        f"candidates?base={hostile}&sort={hostile}",
        f"design?start={hostile}&goal={hostile}",
    ):
        chrome.open(f"{service[0]}/#{view}")
        chrome.wait(lambda: chrome.text("#synthetic"))
        time.sleep(0.3)
        assert chrome.all("main img") == []
        assert chrome.js("return document.title").startswith("aimat-ray")
    chrome.complaints()


def test_the_elongation_of_glasses_comes_with_its_caution_in_every_view(page):
    caution = PROBLEM.cautions["elongation_pct"]
    show(page, "Zr60Cu20Ni10Al10")
    assert caution in page.text('.property[data-key="elongation_pct"]')
    page.open(f"{page.url}/#candidates")
    page.wait(lambda: caution in page.text("#candidates-caution"))
    page.open(f"{page.url}/#design?start=Zr60Cu20Ni10Al10&goal=elongation_pct*raise_pct*5")
    page.wait(lambda: caution in page.text("#design-caution"))


# ---------------------------------------------------------------------- candidates


def table(page):
    return ["".join(text.split()) for text in page.texts("#candidates tbody td.formula-cell")]


def test_candidates_are_those_of_the_run(page, service):
    with (service[1] / "candidates.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows, "the small run finds some"
    page.open(f"{page.url}/#candidates")
    page.wait(lambda: len(table(page)) == len(rows))
    assert table(page) == [row["formula"] for row in rows]
    assert len(page.all("#scatter .point")) == len(rows)
    assert len(page.all("#scatter .point.confirmed")) == sum(row["confirmed"] == "True" for row in rows)


def test_sorting_filters_and_the_link(page):
    page.open(f"{page.url}/#candidates")
    page.wait(lambda: table(page))
    everything = len(table(page))
    page.one('th[data-key="dmax_mm"] button').click()
    page.wait(lambda: page.one('th[data-key="dmax_mm"]').get_attribute("aria-sort") == "descending")
    best = httpx.get(f"{page.url}/v1/candidates", params={"sort": "-dmax_mm"}).json()["candidates"]
    page.wait(lambda: table(page) == [row["formula"] for row in best])
    middle = best[len(best) // 2]["properties"]["dmax_mm"]["value"]
    page.type("#filter-min", str(middle))
    kept = [row["formula"] for row in best if row["properties"]["dmax_mm"]["value"] >= middle]
    page.wait(lambda: table(page) == kept)
    assert 0 < len(kept) <= everything
    page.choose("#axis-x", "tg_k")
    link = page.wait(lambda: page.driver.current_url if "x=tg_k" in page.driver.current_url else None)
    page.open(link)
    page.wait(lambda: table(page) == kept)
    assert page.one('th[data-key="dmax_mm"]').get_attribute("aria-sort") == "descending"
    assert page.one("#axis-x").get_attribute("value") == "tg_k"
    page.type("#filter-min", "99999")
    page.wait(lambda: "No candidate passes" in page.text("#candidates-status"))
    assert not page.one("#candidates-found").is_displayed()


def test_csv_download_and_opening_a_candidate(page):
    page.open(f"{page.url}/#candidates?sort=-tg_k")
    page.wait(lambda: table(page))
    page.one("#csv").click()
    file = page.downloads / "candidates.csv"
    page.wait(file.is_file, "the download")
    page.wait(lambda: file.stat().st_size > 0, "the download")
    with file.open() as stream:
        assert [row["formula"] for row in csv.DictReader(stream)] == table(page)
    first = table(page)[0]
    page.all("#candidates tbody .link")[0].click()
    page.wait(lambda: page.text("#composition").replace("\n", "") == first)
    assert page.one("#tab-alloy").get_attribute("aria-selected") == "true"
    assert page.focused() == "composition"


# ---------------------------------------------------------------------- design


def test_a_design_from_start_to_alloy(page, service):
    page.open(f"{page.url}/#design?start=Zr60Cu20Ni10Al10&goal=dmax_mm*raise_pct*5&change=8")
    page.wait(lambda: page.one("#start").get_attribute("value") == "Zr60Cu20Ni10Al10")
    page.one("#design-go").click()
    page.wait(lambda: page.all(".found"), "designs")
    status = page.text("#design-status")
    assert "predictions in" in status
    assert "Dmax ≥" in status
    assert json.loads((service[1] / "run.json").read_text())["run_id"] in status, "the policy of the run searched too"
    first = page.one(".found")
    assert "BMG" in first.text
    first.find_element("css selector", "summary").click()
    steps = ["".join(text.split()) for text in page.texts(".found:first-child details td.text")]
    formula = first.find_element("css selector", ".link.formula").text.replace("\n", "")
    assert steps[0] == "Zr60Cu20Ni10Al10"
    assert formula in steps
    first.find_element("css selector", ".link.formula").click()
    page.wait(lambda: page.text("#composition").replace("\n", "") == formula)


def test_an_impossible_design_is_answered_with_the_nearest_miss(page):
    page.open(f"{page.url}/#design?start=Zr60Cu20Ni10Al10&goal=dmax_mm*at_least*500&change=2&method=local")
    page.wait(lambda: page.one("#start").get_attribute("value") == "Zr60Cu20Ni10Al10")
    page.one("#design-go").click()
    page.wait(lambda: "came nearest" in page.text("#design-status"))
    assert len(page.all(".found")) == 1


def test_a_design_that_cannot_be_asked_for_says_why(chrome, service):
    chrome.open(f"{service[0]}/#design?start=Zr50Cu50&goal=dmax_mm*raise_pct*5")
    chrome.wait(lambda: chrome.one("#start").get_attribute("value") == "Zr50Cu50")
    chrome.one("#design-go").click()
    chrome.wait(lambda: "at least 3 elements" in chrome.text("#design-error"))
    assert chrome.one("#design-go").is_enabled()
    chrome.complaints()


# ---------------------------------------------------------------------- for everybody

VIEWS = ("alloy", "candidates", "design")


def settled(page, view):
    page.open(f"{page.url}/#{view}")
    page.wait(lambda: not page.one(f"#view-{view}").get_attribute("hidden"))
    page.wait(
        {
            "alloy": lambda: page.all(".property"),
            "candidates": lambda: table(page),
            "design": lambda: page.all(".wish"),
        }[view]
    )


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_is_wider_than_the_window(page, view, size):
    page.resize(size)
    settled(page, view)
    page.resize(size)
    page.wait(lambda: page.js("return document.documentElement.scrollWidth <= window.innerWidth"))
    assert page.js("return window.innerWidth") == size[0]
    page.resize(DESKTOP)


@pytest.mark.parametrize("view", VIEWS)
def test_every_control_has_a_name_and_every_id_is_one(page, view):
    settled(page, view)
    nameless = page.js(
        """return [...document.querySelectorAll("button, input, select, a[href], svg[role=img]")].filter((e) => {
             const label = e.id && document.querySelector(`label[for="${e.id}"]`);
             const name = e.getAttribute("aria-label") || label?.textContent || e.textContent || "";
             return !name.trim();
           }).map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    ids = page.js("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    assert page.js("return document.querySelectorAll('h1').length") == len(VIEWS)
    assert page.js("return document.documentElement.lang") == "en"


def luminance(colour):
    parts = [int(part) / 255 for part in colour[4:-1].replace("(", "").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_all_text_stands_out_from_its_background(page, view, theme):
    """WCAG AA: 4.5 to 1, measured on what the browser computes for every piece of text."""
    page.resize(DESKTOP, theme)
    settled(page, view)
    page.resize(DESKTOP, theme)
    pairs = page.js(
        """const solid = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
             if (!c.startsWith("rgba(") || !c.endsWith(" 0)")) return c; } return "rgb(255, 255, 255)"; };
           const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {};
           while (walk.nextNode()) { const e = walk.currentNode.parentElement;
             if (!walk.currentNode.data.trim() || !e.checkVisibility()) continue;
             if (e.closest("noscript, option, :disabled, .skip")) continue;
             const style = getComputedStyle(e), colour = e.closest("svg") ? style.fill : style.color;
             found[`${colour} on ${solid(e)}`] = walk.currentNode.data.trim().slice(0, 40); }
           return found"""
    )
    assert len(pairs) >= 3
    for pair, text in pairs.items():
        front, back = (luminance(colour) for colour in pair.split(" on "))
        ratio = (max(front, back) + 0.05) / (min(front, back) + 0.05)
        assert ratio >= 4.5, f"{text!r}: {pair} is {ratio:.2f} to 1"
    page.resize(DESKTOP)


def test_tabs_and_theme_work_with_the_keyboard(page):
    settled(page, "alloy")
    page.one("#tab-alloy").click()
    page.press("\ue014")  # right
    assert page.focused() == "tab-candidates"
    page.press("\ue014")
    page.press("\ue014")
    assert page.focused() == "tab-alloy", "round to the first"
    page.press("\ue012")  # left
    assert page.focused() == "tab-design"
    page.press("\ue011")  # home
    assert page.focused() == "tab-alloy"
    tabbable = page.js("return [...document.querySelectorAll('[role=tab]')].filter((t) => t.tabIndex === 0).length")
    assert tabbable == 1
    outline = page.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.one("#theme").send_keys("\ue00d")  # space: from the system's colours to light, then to dark
    assert page.js("return document.documentElement.dataset.theme") == "light"
    page.one("#theme").send_keys("\ue00d")
    dark = page.js("return getComputedStyle(document.documentElement).backgroundColor")
    page.open(f"{page.url}/")
    page.wait(lambda: page.all(".property"))
    assert page.js("return getComputedStyle(document.documentElement).backgroundColor") == dark, "it is remembered"
    page.one("#theme").click()
    assert page.js("return document.documentElement.dataset.theme ?? null") is None


def test_nothing_is_asked_of_anybody_else(page):
    for view in VIEWS:
        settled(page, view)
        asked = page.js("return performance.getEntriesByType('resource').map((e) => e.name)")
        assert asked
        assert all(name.startswith(page.url) for name in asked), asked


# ---------------------------------------------------------------------- access, and a service that is away


def context(tmp_path, **access):
    weights = np.full((len(PROBLEM.elements), len(PROBLEM.properties)), 9.0)
    settings = ServingSettings.model_validate({"data": "oracle", "runs": tmp_path, "store": tmp_path, "access": access})
    return AppContext(PROBLEM, LocalBackend(LinearBundle("default", weights)), settings)


def test_the_key_is_asked_for_and_kept_in_the_tab_only(chrome, tmp_path):
    from aimat_ray.serving.keys import KeyFile

    key_file = tmp_path / "keys.json"
    secret = KeyFile(key_file).create("page", ("read",))[1]
    with serving(make_app(context(tmp_path, keys=key_file, anonymous=[]))) as url:
        chrome.open(f"{url}/")
        chrome.wait(lambda: chrome.one("#key-panel").is_displayed())
        assert "API key" in chrome.text("#problem-error")
        chrome.type("#key", "wrong")
        chrome.press("\ue007")
        chrome.wait(lambda: "not accepted" in chrome.text("#key-note"))
        chrome.type("#key", secret)
        chrome.press("\ue007")
        chrome.wait(lambda: chrome.all(".property"))
        assert not chrome.one("#problem-error").is_displayed()
        assert not chrome.one("#key-panel").is_displayed()
        assert chrome.js("return sessionStorage.getItem('aimat-key')") == secret
        assert secret not in chrome.js("return JSON.stringify({...localStorage}) + location.href + document.cookie")
        assert chrome.one("#key").get_attribute("value") == ""
        # a key without the scope is told so
        chrome.one("#tab-design").click()
        chrome.wait(lambda: chrome.all(".wish"))
        chrome.one("#design-go").click()
        chrome.wait(lambda: "scope" in chrome.text("#design-error"))
        if not chrome.one("#key-panel").is_displayed():
            chrome.one("#key-open").click()
        chrome.one("#key-forget").click()
        assert chrome.js("return sessionStorage.getItem('aimat-key')") is None
    chrome.complaints()


def test_a_service_that_went_away_is_named(chrome, tmp_path):
    with serving(make_app(context(tmp_path))) as url:
        chrome.open(f"{url}/")
        chrome.wait(lambda: chrome.all(".property"))
        assert "There are no finished runs yet" not in chrome.text("body")
        chrome.one("#tab-candidates").click()
        chrome.wait(lambda: "There are no finished runs yet" in chrome.text("#candidates-status"))
        chrome.one("#tab-alloy").click()
    chrome.type("#formula", "Zr50Cu40Al10")
    chrome.press("\ue007")
    chrome.wait(lambda: "can't be reached" in chrome.text("#formula-error"))
    chrome.complaints()
