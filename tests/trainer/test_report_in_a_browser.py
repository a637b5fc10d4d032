"""report.html as a browser draws it."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.report.metrics_log import Point
from finetune_trainer.report.page import render
from tests.trainer.test_report import points, report

# Its sandbox is not for root, and the page is ours.
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
LOOK = """<script>
const size = ({width, height}) => [width, height];
document.body.dataset.seen = JSON.stringify({
  window: innerWidth,
  page: document.documentElement.scrollWidth,
  charts: [...document.querySelectorAll("svg")].map(each => size(each.getBoundingClientRect())),
  asked: performance.getEntriesByType("resource").map(each => each.name),
  text: document.body.innerText,
});
</script>"""


@pytest.fixture(scope="module")
def page() -> str:
    measured = [Point(step=0, attempt=1, validation_loss=2.5), *points(12)]
    return render(report([*measured, Point(step=12, attempt=2, validation_loss=1.25)]))


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
def test_all_of_it_is_on_the_screen(page: str, width: int, tmp_path: Path) -> None:
    seen = look(page, width, tmp_path)
    assert seen["page"] <= seen["window"] == width, "it has to be scrolled sideways"
    assert len(seen["charts"]) >= 2
    for across, down in seen["charts"]:
        assert width / 4 < across <= width
        assert down > 50
    assert "1.2500" in seen["text"]
    assert "Who <b>?" in seen["text"]
    assert seen["asked"] == []


def look(page: str, width: int, folder: Path) -> dict[str, Any]:
    """What a script in the page sees once it is drawn."""
    file = folder / "report.html"
    file.write_text(page.replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    browser = next(filter(shutil.which, BROWSERS), None)
    if browser is None:
        pytest.fail("make browser installs what this test looks at the report with")
    command = [browser, *ARGUMENTS, f"--window-size={width},900", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search('data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr
    seen: dict[str, Any] = json.loads(unescape(found.group(1)))
    return seen
