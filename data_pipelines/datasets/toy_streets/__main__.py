"""Writes a contact sheet of the toy city: python -m data_pipelines.datasets.toy_streets --out=sheet.png"""

from absl import app, flags
from PIL import Image

from data_pipelines.datasets.toy_streets import ToyCity, contact_sheet

_OUT = flags.DEFINE_string("out", None, "The PNG file to write.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the city.")
_PER_LOOK = flags.DEFINE_integer("per_look", 4, "Pictures of each look.", lower_bound=1)


def main(argv):
    """Renders the sheet and says where it is."""
    del argv
    Image.fromarray(contact_sheet(ToyCity(seed=_SEED.value), _PER_LOOK.value)).save(_OUT.value)
    print(f"wrote {_OUT.value}")


if __name__ == "__main__":
    app.run(main)
