"""The page's files and the headers they come with; what the page does is tested in a browser (tests/ray)."""

import re
from pathlib import Path

import pytest
from asgi_caller import Caller

import aimat_ray
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.page_files import page_files

FOLDER = Path(aimat_ray.__file__).parent / "serving" / "page"
SCRIPTS = sorted(FOLDER.glob("*.js"))


@pytest.fixture(scope="module")
def api():
    return Caller(make_app(AppContext(load_problem(), LocalBackend(LinearBundle.random(1)))))


def test_the_page_and_everything_it_names_is_there(api):
    page = api.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = set(re.findall(r'(?:href|src)="(page/[^"]+)"', page.text))
    assert {"page/main.js", "page/style.css", "page/icon.svg"} <= named
    imported = {f"page/{name}" for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', script.read_text())}
    for path in named | imported:
        reply = api.get(f"/{path}")
        assert reply.status_code == 200, path
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_nothing_from_elsewhere_and_no_script_in_the_markup(api):
    page = api.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
    assert not re.search(r"\son\w+\s*=|\sstyle\s*=|<style", page.text)
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[\w-]+\.\w+", text), f"{path.name} names another host"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_data_never_become_markup(path):
    text = path.read_text(encoding="utf-8")
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert word not in text, f"{path.name} uses {word}"


def test_an_unchanged_file_is_not_sent_again(api):
    first = api.get("/page/main.js")
    again = api("GET", "/page/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api("GET", "/page/main.js", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fapp.py", "%2e%2e/app.py", "index.html%00", "main.js/", ".", "a" * 3000]
)
def test_no_path_leads_out_of_the_page(api, name):
    reply = api.get(f"/page/{name}")
    assert reply.status_code in (404, 307)
    assert "import" not in reply.text


def test_the_files_are_part_of_the_package():
    """Every file of the folder is served, so none is there by accident, and each stays readable."""
    served = page_files()
    assert set(served) == {path.name for path in FOLDER.iterdir()}
    for path in FOLDER.iterdir():
        assert path.read_text(encoding="utf-8").count("\n") < 400, path.name


def test_an_installed_package_has_the_page():
    """The pattern of pyproject.toml covers the folder."""
    import tomllib

    root = Path(aimat_ray.__file__).parent.parent
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["aimat_ray"]
    matched = {path for pattern in patterns for path in (root / "aimat_ray").glob(pattern)}
    assert set(FOLDER.iterdir()) <= matched
