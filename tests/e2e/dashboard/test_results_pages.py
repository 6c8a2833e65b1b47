"""The pages of models and runs, in a real browser, with what real jobs left."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support import engine, models, run_program
from support.browser import opened_page
from support.live_server import LiveServer

pytestmark = pytest.mark.docker

EVIL = '<img src=x onerror="window.evil=1">'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"run_image": "ci-runner:latest", "run_command": run_program.COMMAND}
    with LiveServer(tmp_path_factory.mktemp("results"), **settings) as server:
        yield server.start().ready()


@pytest.fixture(scope="module")
def valued(server):
    """A model of 100 policies and 400 scenarios that was valued, with its cash flows."""
    described = json.loads(models.GOLDEN_FILES["livecalc.config.json"])
    described["output"] = {**described.get("output", {}), "showCashflows": True}
    rates = {"initial": 0.04, "drift": 0.0, "volatility": 0.015, "minRate": 0.0, "maxRate": 0.2}
    described["scenarios"] = {"count": 400, "seed": 7, "interestRate": rates}
    files = {**models.GOLDEN_FILES, "livecalc.config.json": json.dumps(described).encode()}
    answer = server.http.post(
        "/v1/jobs/submit",
        files={"package": ("model.zip", models.zipped(files))},
        data={"model_name": f"Term life {EVIL}"},
    )
    assert answer.status_code == 201, answer.text
    job_id = answer.json()["jobId"]
    assert server.finished(job_id)["success"], server.log(job_id)
    return job_id


def serious(page):
    """What axe finds in the page that keeps somebody from using it."""
    found = Axe().run(page).response["violations"]
    return [each for each in found if each["impact"] in ("serious", "critical")]


def test_a_valuation_shows_its_statistics_and_charts(server, valued, page):
    page.goto(server.url + "/ui/models")
    page.get_by_role("link", name="Term life").click()
    page.get_by_role("link", name="Log and settings").click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("link", name="Charts of the results").click()
    expect(page.get_by_role("heading", name=f"Term life {EVIL}")).to_be_visible()
    for chart in ("Distribution of the net present value", "Convergence of the mean", "Cash flows"):
        expect(page.get_by_role("img", name=chart)).to_be_visible()
    result = server.http.get(f"/v1/jobs/{valued}").json()["resultData"]
    mean = page.locator(".numbers > div", has_text="Mean").locator("dd").inner_text()
    assert float(mean.replace(",", "")) == pytest.approx(result["statistics"]["mean"], rel=1e-5)
    expect(page.get_by_text(result["resultHash"])).to_be_visible()
    assert page.evaluate("window.evil") is None
    for theme in ("light", "dark"):
        page.get_by_label("Colours").select_option(theme)
        assert not serious(page)


def test_what_is_drawn_is_what_was_computed(server, valued, page):
    page.goto(server.url + "/ui/")
    found = page.evaluate(
        """async (path) => {
          const { readVector } = await import("/ui/assets/lib/npy.js");
          const { convergence, histogram, percentile } =
            await import("/ui/assets/lib/distribution.js");
          const values = readVector(await (await fetch(path)).arrayBuffer());
          const sorted = Float64Array.from(values).sort();
          const { counts } = histogram(sorted);
          const { n, mean } = convergence(values);
          return {
            count: values.length,
            counted: counts.reduce((sum, each) => sum + each, 0),
            last: [n.at(-1), mean.at(-1)],
            p95: percentile(sorted, 95),
            one: histogram(Float64Array.of(7, 7)).counts,
          };
        }""",
        f"/jobs/{valued}/artifacts/output/npv.npy",
    )
    statistics = server.http.get(f"/v1/jobs/{valued}").json()["resultData"]["statistics"]
    assert (found["count"], found["counted"]) == (400, 400)
    assert found["last"] == [400, pytest.approx(statistics["mean"])]
    assert found["p95"] == pytest.approx(statistics["percentiles"]["p95"])
    assert sum(found["one"]) == 2


def test_a_job_without_results_says_so(server, page):
    answer = server.http.post(
        "/v1/jobs/submit", files={"package": ("model.zip", models.zipped(models.SMALL))}
    )
    job_id = answer.json()["jobId"]
    server.finished(job_id)
    page.goto(f"{server.url}/ui/models/{job_id}")
    expect(page.get_by_text("left no results of the calculation engine")).to_be_visible()


def test_a_run_shows_its_scores_live(server, browser):
    first = {"current": 1, "total": 3, "phase": "score", "iteration": 1, "score": 4.5}
    second = {**first, "current": 2, "iteration": 2, "score": 7.5}
    steps = [
        ("progress", first),
        ("progress", {**second, "scores": {"fit <b>": 7}, "message": EVIL}),
        run_program.writes_result(termination_reason=EVIL),
    ]
    asked = {"query": run_program.query(*steps), "max_iterations": 3}
    run_id = server.http.post("/api/v1/runs", json=asked).json()["run_id"]
    with opened_page(browser) as page:
        page.goto(f"{server.url}/ui/runs/{run_id}")
        expect(page.get_by_role("img", name="Score by iteration: at last 7.5")).to_be_visible()
        expect(page.get_by_text("passed")).to_be_visible()
        expect(page.get_by_role("heading", name="Result", exact=True)).to_be_visible()
        expect(page.get_by_text(EVIL)).to_be_visible()
        expect(page.get_by_role("cell", name="SYN1")).to_be_visible()
        assert page.evaluate("window.evil") is None
        assert not serious(page)
        page.goto(f"{server.url}/ui/runs")
        expect(page.get_by_role("row").nth(1)).to_contain_text("2 of 3")


def test_the_scores_of_a_run_come_while_it_runs(own_server, browser):
    """Also to a page that was opened in between, and over a restart of the server."""
    settings = {"run_image": "ci-runner:latest", "run_command": run_program.COMMAND}
    server = own_server(**settings).start().ready()
    steps = []
    for iteration, score in enumerate((4.5, 6.25, 7.5), 1):
        facts = {"current": iteration, "total": 3, "phase": "score", "iteration": iteration}
        steps += [("progress", {**facts, "score": score}), ("wait", f"/workspace/go-{iteration}")]
    asked = {"query": run_program.query(*steps, run_program.writes_result()), "max_iterations": 3}
    run = server.http.post("/api/v1/runs", json=asked).json()
    job_id = server.http.get(f"/api/v1/runs/{run['run_id']}").json()["job_id"]
    with opened_page(browser, expected=["Failed to load resource"]) as page:
        page.goto(f"{server.url}/ui/runs/{run['run_id']}")
        at_iteration(page, 1, 4.5)
        engine.release(server, job_id, "go-1")
        at_iteration(page, 2, 6.25)
        page.reload()
        at_iteration(page, 2, 6.25)
        server.kill()
        expect(page.get_by_text("Reconnecting …")).to_be_visible(timeout=60_000)
        at_iteration(page, 2, 6.25)
        server.start().ready()
        engine.release(server, job_id, "go-2")
        at_iteration(page, 3, 7.5)
        expect(page.get_by_text("Reconnecting …")).to_have_count(0)
        engine.release(server, job_id, "go-3")
        expect(page.get_by_text("passed")).to_be_visible(timeout=60_000)


def at_iteration(page, iteration, score):
    """Wait until the page shows the score of this iteration, in which the run is held."""
    chart = page.get_by_role("img", name=f"Score by iteration: at last {score}")
    expect(chart).to_be_visible(timeout=120_000)
    expect(page.get_by_role("status").first).to_have_text(f"Iteration {iteration} of 3, score")
    expect(page.locator(".model-head .state")).to_have_text("● running")


@pytest.mark.parametrize(
    ("path", "code", "all_of_them"),
    [
        ("runs/run_000000000000", "run_not_found", "All runs"),
        ("models/unknown", "job_not_found", "All models"),
        ("models/%E0%A4%A", "job_not_found", "All models"),
    ],
)
def test_what_is_unknown_is_said_once(server, browser, path, code, all_of_them):
    with opened_page(browser, expected=("404",)) as page:
        page.goto(f"{server.url}/ui/{path}")
        expect(page.get_by_role("alert")).to_contain_text(code)
        expect(page.get_by_role("link", name=all_of_them)).to_be_visible()
        assert not serious(page)
