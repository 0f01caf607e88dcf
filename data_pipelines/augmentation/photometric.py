"""Random operations on the colours and the sharpness of a picture; they leave its label alone."""

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

JITTERED = ("brightness", "contrast", "saturation", "hue")
MAX_HUE = 0.5  # of a turn of the colour wheel


def colour_jitter(image: np.ndarray, strengths: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Changes brightness, contrast, saturation and hue by random amounts, in a random order.

    The same operations as torchvision's ColorJitter on Pillow pictures.

    Args:
      image: uint8 [H, W, 3] RGB.
      strengths: of the four of JITTERED. The first three, >= 0, draw a factor from [max(0, 1 - s), 1 + s]; hue, 0 to
        0.5, draws a shift from [-s, s] turns of the colour wheel. 0 is off.
      rng: twice four numbers are drawn, whatever the strengths.

    Returns:
      uint8 [H, W, 3].
    """
    order, draws = np.argsort(rng.random(len(JITTERED)), kind="stable"), 2 * rng.random(len(JITTERED)) - 1
    picture = Image.fromarray(np.ascontiguousarray(image))
    for which in order:
        strength, draw = strengths[which], draws[which]
        if not strength:
            continue
        if JITTERED[which] == "hue":
            picture = _shift_hue(picture, strength * draw)
            continue
        low = max(0.0, 1 - strength)
        factor = low + (draw + 1) / 2 * (1 + strength - low)
        picture = _ENHANCERS[JITTERED[which]](picture).enhance(factor)
    return np.asarray(picture)


_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def _shift_hue(picture: Image.Image, turns: float) -> Image.Image:
    """Turns the hue channel of the 8-bit HSV picture, which wraps around."""
    hue, saturation, value = picture.convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int16) + round(turns * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs uint8 [H, W, 3] with a Gaussian of `sigma` >= 0 pixels; 0 returns the picture as it is.

    Pillow's filter: three box blurs, within two levels of the exact Gaussian inside the picture.
    """
    if not sigma:
        return image
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).filter(ImageFilter.GaussianBlur(float(sigma))))
