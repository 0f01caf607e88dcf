"""The report leads to the other pages about the same networks."""

import html.parser
import re

import report_examples

from dakd_jax.report import more_pages, page


class _Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs)["href"])


def _report(workdir):
    return page.write_report(report_examples.experiment(), workdir / "report_x.y")


def test_before_there_are_others_it_says_how_to_make_them(tmp_path):
    text = _report(tmp_path).read_text()
    assert not _Links(text).found
    for mode in ("figures", "attribution", "protocols"):
        assert f"<code>--mode={mode}</code>" in text


def test_a_page_that_is_made_later_is_linked_and_nothing_else_changes(tmp_path):
    path = _report(tmp_path)
    before = path.read_text()
    made = tmp_path / "attribution_x.y" / "index.html"
    made.parent.mkdir()
    made.touch()
    (tmp_path / "figures_another").mkdir()
    (tmp_path / "figures_another" / "index.html").touch()  # of another experiment
    more_pages.update(path)
    (link,) = _Links(path.read_text()).found
    assert (path.parent / link).resolve() == made.resolve()
    parts = re.compile("<!-- more pages -->.*?<!-- end of more pages -->", re.DOTALL)
    assert len(parts.findall(before)) == 1
    assert parts.sub("", before) == parts.sub("", path.read_text())
    after = path.read_bytes()
    more_pages.update(path)
    assert path.read_bytes() == after == _report(tmp_path).read_bytes()  # written anew it keeps the link
    made.unlink()
    more_pages.update(path)
    assert path.read_text() == before


def test_without_a_report_there_is_nothing_to_update(tmp_path):
    more_pages.update(tmp_path / "report_x" / "index.html")
    assert not list(tmp_path.iterdir())
