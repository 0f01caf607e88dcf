"""The picture of the page: python docs/draw_show.py runs/demo writes docs/show.png, of a picture of the toy city.

The run's last network is shown beside its teacher, in a headless Chromium.
"""

import io
import pathlib
import signal
import subprocess
import sys

from PIL import Image

PROJECT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests"))
import chromium  # noqa: E402

SIZE = (1100, 900)
PICTURES = "data/toy_city/cityscapes/leftImg8bit/val"


def main(run: str) -> None:
    picture = min(pathlib.Path(PICTURES).rglob("*.png")).resolve()
    command = [sys.executable, PROJECT / "run.py", "--mode=show", run, f"--beside={run}#teacher"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shown, chromium.browser() as tab:
        url = shown.stdout.readline().split()[0]
        tab.size(*SIZE)
        tab.go(url)
        tab.until("document.documentElement.dataset.ready")
        tab.drop(picture)
        tab.until("!document.getElementById('shown').hidden && document.getElementById('progress').hidden")
        tab.until("[...document.images].every((one) => one.complete)")
        x, y, width, height = tab.js(
            "Object.values(document.querySelector('.stack').getBoundingClientRect().toJSON())"
        )[:4]
        tab.point(x + 0.6 * width, y + 0.5 * height)
        content = tab.picture()
        shown.send_signal(signal.SIGINT)
    # Colours that are far apart are kept, however few pixels have them: those of classes.
    made = Image.open(io.BytesIO(content)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    made.save(PROJECT / "docs" / "show.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
