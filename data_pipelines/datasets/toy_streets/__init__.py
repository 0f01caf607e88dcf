"""A procedural city: seeded street scenes with exact labels, in three looks.

On disk it has the layouts of GTA5, BDD100K and Cityscapes, one for each look:

    folder = ensure("data/toy", ToyCity(seed=0))

It is the default of the demo: no download, and a real domain gap between its looks.
"""

from data_pipelines.datasets.toy_streets.city import ToyCity
from data_pipelines.datasets.toy_streets.looks import LOOKS
from data_pipelines.datasets.toy_streets.render import RENDERER_VERSION, Picture, contact_sheet, render
from data_pipelines.datasets.toy_streets.writer import ensure

__all__ = ["LOOKS", "RENDERER_VERSION", "Picture", "ToyCity", "contact_sheet", "ensure", "render"]
