"""Headless Chromium for tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WAIT_S = 90.0  # the machine may be busy
DESKTOP, PHONE = (1280, 900), (360, 740)


def programs() -> tuple[str, str]:
    """Chromium and its driver; the test is skipped without them, and fails in CI."""
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        words = "chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    return str(found[0]), str(found[1])


@contextmanager
def browser(downloads: Path) -> Iterator[Browser]:
    """A browser with an empty profile."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium, chromedriver = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        driver.set_page_load_timeout(WAIT_S)
        driver.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
        yield Browser(driver, downloads)
    finally:
        driver.quit()


class Browser:
    """What the tests do with the page.

    Args:
        driver: Selenium's driver.
        downloads: Where files are saved.
    """

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def open(self, url: str, size: tuple[int, int] = DESKTOP, theme: str = "light") -> None:
        """Open a page afresh, also where only the part behind # differs."""
        self.driver.get("about:blank")
        self.resize(size, theme)
        self.driver.get(url)

    def resize(self, size: tuple[int, int], theme: str = "light") -> None:
        """Set the window and the colours that the system asks for."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def text(self, selector: str) -> str:
        return str(self.one(selector).text)

    def texts(self, selector: str) -> list[str]:
        """Texts of all elements, read in one go: the page may replace them at any moment."""
        return list(self.js("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector))

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any], what: str = "the page") -> Any:
        """Wait until a condition holds; elements may come and go meanwhile."""
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        gone = (NoSuchElementException, StaleElementReferenceException)
        try:
            return WebDriverWait(self.driver, WAIT_S, 0.1, gone).until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"waited in vain for {what}; the page shows:\n{self.text('body')[:2000]}") from None

    def type(self, selector: str, text: str) -> None:
        """Replace the contents of a field."""
        from selenium.webdriver.common.keys import Keys

        field = self.one(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select."""
        from selenium.webdriver.support.ui import Select

        Select(self.one(selector)).select_by_value(value)

    def focused(self) -> str:
        """The id of the element that has the focus."""
        return str(self.js("return document.activeElement.id"))

    def complaints(self) -> list[str]:
        """What the browser's console holds since the last question: errors, and refusals of the content policy."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
