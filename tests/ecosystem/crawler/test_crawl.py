"""The crawler against two thousand pages on two hosts: all found, each once, within its limits, and no trap works."""

import re

import pytest
from crawling import crawl, crawling, parts, records, reported, serving, wait_until
from programs import assert_epicycle


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    """The site after one crawl of all of it, the records, and the program's end."""
    folder = tmp_path_factory.mktemp("crawl")
    with serving(slow=0.05) as site:
        program = crawl(site, folder / "pages.jsonl", "--workers", "12", "--per-host", "7")
    assert parts(folder) == []
    return site, records((folder / "pages.jsonl").read_text()), program


def test_every_page_is_fetched_and_has_one_record(crawled):
    site, found, _ = crawled
    for number in range(site.pages):
        record = found[site.address_of(number)]
        assert (record["outcome"], record["status"], record["title"]) == ("fetched", 200, f"Page {number}")


def test_what_failed_in_passing_was_tried_again_and_nothing_else_was(crawled):
    site, found, _ = crawled
    troubled = 0
    for number in range(site.pages):
        tries = 2 if site.first_trouble(number) else 1
        troubled += tries - 1
        address = site.address_of(number)
        assert site.requests[address] == tries, address
        # After a connection that is lost without a word aiohttp itself asks once more.
        if site.first_trouble(number) != "lost":
            assert found[address]["attempts"] == tries, address
    assert troubled > 100
    first = site.hosts[0]
    assert site.requests[f"{first}/broken"] == 4
    assert (found[f"{first}/broken"]["error"], found[f"{first}/broken"]["attempts"]) == ("status 500", 4)
    assert (found[f"{first}/missing"]["error"], site.requests[f"{first}/missing"]) == ("status 404", 1)


def test_redirects_are_followed_and_their_traps_found(crawled):
    site, found, _ = crawled
    first = site.hosts[0]
    moved = [number for number in range(site.pages) if site.is_moved(number)]
    assert len(moved) == 20
    for number in moved:
        (way,) = found[site.address_of(number)].get("from", [None])
        if way is not None:
            assert found[way]["location"] == site.address_of(number)
    assert found[f"{first}/loop/b"]["error"] == "a loop of redirects"
    assert found[f"{first}/endless/5"]["error"] == "more than 5 redirects"
    assert site.requests[f"{first}/loop/a"] == site.requests[f"{first}/loop/b"] == 1
    assert f"{first}/endless/6" not in site.requests


def test_robots_txt_is_asked_first_and_obeyed(crawled):
    site, found, _ = crawled
    first, second = site.hosts
    private = found[f"{first}/private/page"]
    assert (private["outcome"], private["reason"]) == ("excluded", "robots.txt")
    assert f"{first}/private/page" not in site.requests
    for host in (first, second):
        asked = [address for address in site.requests if address.startswith(f"{host}/")]
        assert asked[0] == f"{host}/robots.txt"
        assert site.requests[f"{host}/robots.txt"] == 1
    assert site.agents == {"epicycle-example-crawler"}


def test_no_host_has_more_requests_at_once_than_it_may(crawled):
    site, _, program = crawled
    for host in site.hosts:
        assert site.most_at_once[host] <= 7
        assert f"most at once from {host}: 7\n" in program.output


def test_a_host_that_hangs_takes_its_own_share_and_no_more(tmp_path):
    # Pages that never come are all on the second host.
    with serving(slow=3600, pages=400) as site:
        first, second = site.hosts
        with crawling(site, tmp_path / "pages.jsonl", "--workers", "6", "--per-host", "2") as program:
            wait_until(site, lambda: site.at_once[second] == 2 and site.requests[f"{first}/endless/5"] == 1)
            wait_until(site, lambda: site.requests[f"{first}/broken"] == 4)
            program.interrupt()
            assert program.finish() == 130, program.report()
    assert site.most_at_once[second] == 2


def test_only_the_hosts_of_the_start_are_visited_and_only_html_is_read(crawled):
    site, found, _ = crawled
    assert all(url.startswith(tuple(f"{host}/" for host in site.hosts)) for url in found)
    first = site.hosts[0]
    assert found[f"{first}/picture.png"]["type"] == "image/png"
    assert found[f"{first}/large"]["error"] == "larger than 1000000 bytes"
    assert not any("/missing2" in address or "/missing3" in address for address in site.requests)
    assert found[f"{first}/away"]["location"] == "http://host.invalid/elsewhere"


def test_the_report_says_what_the_records_say(crawled):
    _, found, program = crawled
    says = reported(program)
    assert_epicycle(says["loop"])
    outcomes = [record["outcome"] for record in found.values()]
    for name, outcome in [
        ("pages", "fetched"),
        ("redirects", "redirects"),
        ("excluded by robots.txt", "excluded"),
        ("failed", "failed"),
    ]:
        assert int(says[name]) == outcomes.count(outcome), name
    assert says["not reached"] == "0"
    assert re.search(r"^finished$", program.output, re.M)
    # No terminal, no progress bar; and nothing to complain of.
    assert program.errors == ""


def test_the_limit_of_urls_holds(tmp_path):
    with serving(slow=0) as site:
        program = crawl(site, tmp_path / "pages.jsonl", "--max-urls", "50")
    assert len(records((tmp_path / "pages.jsonl").read_text())) == 50
    assert sum(count for address, count in site.requests.items() if "robots" not in address) < 100
    assert "finished\n" in program.output


def test_a_delay_that_robots_txt_wants_is_kept(tmp_path):
    robots = "User-agent: *\nCrawl-delay: 1\n"
    with serving(["127.0.0.1"], slow=0, robots=robots) as site:
        program = crawl(site, tmp_path / "pages.jsonl", "--max-urls", "3")
    assert site.most_at_once[site.hosts[0]] == 1
    # Three pages, so two pauses: they may be longer, but not shorter.
    assert float(reported(program)["seconds"]) >= 2
