"""The page of a diagnosis: what stands on it, in the browser too, and that it asks for nothing."""

from __future__ import annotations

import json
import shutil
import subprocess

import pyarrow.parquet as pq
import pytest

from cift.data.columns import to_arrow
from cift.data.doctor import check
from cift.report.diagnosis import COLOURS, diagnosis_html, picture
from tests.data.doctor.clean import clean
from tests.data.doctor.test_findings import CLOSE_NS, DAY_NS, HOUR_NS, OPEN_NS, paced

from .test_tearsheet import parsed

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def diagnosis(tmp_path_factory):
    """Two sessions with faults of every severity, a silence and a late start."""
    columns = paced(
        (OPEN_NS, OPEN_NS + HOUR_NS), (OPEN_NS + 2 * HOUR_NS, CLOSE_NS), (OPEN_NS + DAY_NS + HOUR_NS, CLOSE_NS + DAY_NS)
    )
    columns["price"][[5, 3_000]] = float("nan")
    columns["price"][700] = 130.0
    columns["price"][800] = 100.005
    columns["size"][900] = 0.0
    columns["ts_event"][1_000] = 5
    columns["ts_event"][1_100] -= 10**12
    columns["ts_recv"][1_200] -= 10**7
    columns["trade_id"][1_300] = 2**60
    columns["venue_seq"][1_400] = 7
    path = tmp_path_factory.mktemp("page") / "<b>.parquet"
    pq.write_table(to_arrow("trades", columns), path)
    return check(path, calendar="XNYS")


def test_the_page_has_every_finding_and_a_picture(diagnosis):
    text = diagnosis_html(diagnosis.to_dict(), diagnosis.pictures())
    page = parsed(text)
    said = " ".join(page.text)
    for finding in diagnosis.findings:
        assert finding.kind in said
        assert finding.meaning in said
    assert len({each.severity for each in diagnosis.findings}) == 3
    assert "<b>.parquet" in said  # as text
    assert text.count("<svg") == 1
    assert not [value for _, name, value in page.attributes if name in ("src", "href") and not value.startswith("#")]
    assert "<script" not in text


def test_the_picture_has_a_lane_for_each_kind_and_shades_what_is_missing(diagnosis):
    (drawn,) = diagnosis.pictures()
    assert drawn["start_ns"] == OPEN_NS
    marked = set(drawn["marks"]["kind"])
    assert marked == {each.kind for each in diagnosis.findings}
    assert set(drawn["marks"]["severity"]) == set(COLOURS)
    assert set(drawn["spans"]["kind"]) == {"silence", "late_start"}
    chart = picture(**drawn).to_dict()
    assert len(chart["vconcat"]) == 4
    assert chart["vconcat"][1]["encoding"]["y"]["sort"][0] in ("nan", "time_back", "year_1970")
    assert len(json.dumps(chart)) < 2_000_000


def test_clean_data_and_no_data_have_a_page_too(tmp_path):
    path = tmp_path / "clean.parquet"
    pq.write_table(to_arrow("quotes", clean("quotes", 300)), path)
    found = check(path)
    text = diagnosis_html(found.to_dict(), found.pictures())
    assert "nothing found" in text
    assert text.count("<svg") == 1
    path.write_bytes(b"PAR1")
    broken = check(path)
    assert [each.kind for each in broken.findings] == ["damaged"]
    assert "<svg" not in diagnosis_html(broken.to_dict(), broken.pictures())


LOOK = """<script>
window.addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("svg text")]
    .filter(each => each.textContent.trim() && +getComputedStyle(each).opacity > 0)
    .map(each => [each.textContent, each.getBoundingClientRect()]);
  const over = [];
  boxes.forEach(([text, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 3) over.push([text, other]);
  }));
  const parts = [...document.querySelectorAll("table, svg, h1, p")].map(part => part.getBoundingClientRect().right);
  const seen = document.createElement("pre");
  seen.id = "seen";
  seen.textContent = JSON.stringify({over, labels: boxes.length, right: Math.max(...parts), page: window.innerWidth});
  document.body.append(seen);
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
def test_no_label_lies_on_another_in_the_browser(diagnosis, tmp_path):
    text = diagnosis_html(diagnosis.to_dict(), diagnosis.pictures())
    page = tmp_path / "page.html"
    # The page forbids scripts; this one looks at it from inside.
    page.write_text(text.replace("default-src 'none'; ", "").replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]
    command += [
        "--window-size=980,1400",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=9000",
        "--dump-dom",
        page.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    seen = json.loads(
        dom.split('<pre id="seen">')[1].split("</pre>")[0].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
    )
    assert seen["labels"] > 20
    assert seen["over"] == []
    assert seen["right"] <= seen["page"]
