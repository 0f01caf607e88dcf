"""What finished networks make of pictures that are to be shown."""

import itertools
from collections.abc import Sequence

import numpy as np

from dakd_jax.evaluation.predict import Networks, Protocol, predict
from dakd_jax.studies.pictures import Shown


def predict_pictures(networks: Networks, pictures: Sequence[tuple], rules: Protocol, *, batch_size: int) -> list[Shown]:
    """Predictions of some pictures, as a pass made and counted them: in batches of the same shape.

    Args:
      pictures: (name, image uint8 [h, w, 3], label uint8 [H, W]); images of one size.
      batch_size: of the pass.
    """
    found = []
    for size, same in itertools.groupby(pictures, key=lambda picture: picture[2].shape):
        while group := list(itertools.islice(same, batch_size)):
            images = np.zeros((batch_size, *group[0][1].shape), np.uint8)
            images[: len(group)] = [image for _, image, _ in group]
            maps = {
                name: np.asarray(predict(variables, images, model=model, size=size, **rules.how))
                for name, (model, variables) in networks.items()
            }
            found += [
                Shown(*picture, {name: of_all[i] for name, of_all in maps.items()}) for i, picture in enumerate(group)
            ]
    return found
