"""A film that was handed in: its frames one by one, as pictures."""

import dataclasses
from fractions import Fraction

from PIL import Image

from dakd_jax.basics.errors import UserError
from data_pipelines.pictures import films


@dataclasses.dataclass(frozen=True)
class KeptFilm:
    """A film in memory.

    Attributes:
      film: of bytes.
      times: of its frames, in seconds.
      num_bytes: of the film.
    """

    film: films.Film
    times: tuple[Fraction, ...]
    num_bytes: int

    @classmethod
    def of(cls, content: bytes, name: str, most_pixels: int) -> "KeptFilm":
        """A film of the content of its file.

        Args:
          name: for messages.

        Raises:
          DataError: it is none.
          UserError: its frames have more pixels.
        """
        film = films.open_film(content, name)
        width, height = film.size
        if width * height > most_pixels:
            raise UserError(
                f"{name}: frames of {width}x{height} pixels are more than {most_pixels / 1e6:.3g} million; hand in a "
                "smaller film"
            )
        return cls(film, tuple(film.times()) or (Fraction(0),), len(content))

    def picture(self, number: int) -> Image.Image:
        """One of its frames, upright. Raises DataError where it cannot be read."""
        return Image.fromarray(self.film.at(self.times[number]).pixels)
