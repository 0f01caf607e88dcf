"""The report leads to the other pages about the same networks."""

import html.parser
import re

import report_examples

from dakd_jax.studies.experiment import page
from dakd_jax.studies.kit import more_pages, stamp


class _Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs)["href"])


STAGES = {"student": "ab", "case_d": "cd"}


def _report(workdir):
    return page.write_report(report_examples.experiment(record={"stages": STAGES}), workdir / "report_x.y")


def stamp_of(*pages, stages=STAGES):
    for one in pages:
        with stamp.writing(one, {"stages": stages}):
            pass


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
    more_pages.update(path)  # one whose networks nobody knows, and so far a report of which nobody does
    assert not _Links(path.read_text()).found
    stamp_of(path, made)
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


def test_a_page_about_other_networks_is_not_linked(tmp_path):
    path = _report(tmp_path)
    made = tmp_path / "figures_x.y" / "index.html"
    made.parent.mkdir()
    made.touch()
    stamp_of(path)
    stamp_of(made, stages={"student": "of another seed"})
    more_pages.update(path)
    assert not _Links(path.read_text()).found


def test_a_report_of_one_of_several_seeds_has_pages_of_its_own(tmp_path):
    assert more_pages.page_name(tmp_path, "x", 1) == "x"
    path = page.write_report(report_examples.experiment(), tmp_path / "report_x_seed1")
    assert more_pages.page_name(tmp_path, "x", 1) == "x_seed1" and more_pages.page_name(tmp_path, "x", 2) == "x"
    assert "<code>--config.seed=1 --mode=figures</code> in place of <code>--seeds</code>" in path.read_text()


def test_without_a_report_there_is_nothing_to_update(tmp_path):
    more_pages.update(tmp_path / "report_x" / "index.html")
    assert not list(tmp_path.iterdir())


def test_a_report_of_a_release_without_links_stays_as_it_is(tmp_path):
    path = tmp_path / "report_x" / "index.html"
    path.parent.mkdir()
    for text in ("<p>old</p>", "<p>old</p><!-- more pages --><p>torn</p>"):
        path.write_text(text)
        stamp_of(path)
        more_pages.update(path)
        assert path.read_text() == text
