"""What is inside a picture or label file: orientation, bit depth, modes, compression; right, or one line."""

import io
import warnings

import handmade_pictures as handmade
import numpy as np
import pytest
import tiny_datasets as tiny
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from data_pipelines.basics.errors import DataError, UnreadableFile
from data_pipelines.pictures import pixel_formats
from data_pipelines.reading import label_spaces, loading
from data_pipelines.reading.examples import Example

WIDE = np.random.default_rng(0).integers(0, 2**16, (6, 8, 4)).astype(np.uint16)


def picture():
    return Image.fromarray(tiny.picture(0))


def of(path, labelled=False):
    """An example of a picture; what its label is does not matter here."""
    return Example("x", path, path if labelled else None)


def write(path, content):
    path.write_bytes(content)
    return path


# Orientation

CONTAINERS = {
    "jpg": {"quality": 95},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
}


def with_tag(folder, container, tag, **more):
    path = folder / f"p.{container}"
    exif = Image.Exif()
    exif[0x0112] = tag
    picture().save(path, exif=exif if container.endswith("tif") else exif.tobytes(), **CONTAINERS[container], **more)
    return path


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("tag", range(1, 9))
def test_unlabelled_pictures_are_turned_upright_and_labelled_ones_are_read_as_stored(tmp_path, container, tag):
    path = with_tag(tmp_path, container, tag)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert upright.shape == ((24, 16, 3) if tag > 4 else (16, 24, 3))
    np.testing.assert_array_equal(loading.decode_image(of(path)), upright)
    assert loading.image_size(of(path)) == upright.shape[1::-1]
    native = loading.load_example(of(path), upright.shape[1::-1], None).image
    np.testing.assert_array_equal(native, upright)
    small = loading.load_example(of(path), (10, 6), None).image
    np.testing.assert_array_equal(small, loading.resize(upright, (10, 6), "bicubic"))
    stored = loading.decode_image(of(path, labelled=True))
    assert stored.shape == (16, 24, 3) and loading.picture_size(path) == (24, 16)
    assert loading.image_size(of(path, labelled=True)) == (24, 16)
    if container != "jpg":
        np.testing.assert_array_equal(stored, tiny.picture(0))
    elif tag == 6:
        np.testing.assert_array_equal(stored, np.rot90(upright))


@pytest.mark.parametrize("padding", [0, 5000, 60_000])
def test_a_png_says_its_orientation_behind_the_pixels_too(tmp_path, padding):
    block = handmade.exif(6).removeprefix(b"Exif\0\0") + bytes(padding)
    path = write(tmp_path / "p.png", handmade.png(tiny.picture(0), after=handmade.chunk(b"eXIf", block)))
    assert loading.image_size(of(path)) == (16, 24)
    np.testing.assert_array_equal(loading.decode_image(of(path)), np.rot90(tiny.picture(0), -1))
    np.testing.assert_array_equal(loading.decode_image(of(path, labelled=True)), tiny.picture(0))
    damaged = path.read_bytes().replace(block[:8], bytes(8))
    assert loading.image_size(of(write(path, damaged))) == (24, 16)


def test_a_png_says_its_orientation_as_text(tmp_path):
    block, text = handmade.exif(6), PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    picture().save(tmp_path / "p.png", pnginfo=text)
    assert loading.decode_image(of(tmp_path / "p.png")).shape == (24, 16, 3)


@pytest.mark.parametrize("container", ["jpg", "png", "webp"])
def test_a_broken_exif_block_says_nothing(tmp_path, container):
    rng, path = np.random.default_rng(0), tmp_path / f"p.{container}"
    for _ in range(40):
        block = bytearray(handmade.exif(6))
        for place in rng.integers(0, len(block), 4):
            block[place] = rng.integers(256)
        picture().save(path, exif=bytes(block[: rng.integers(1, len(block) + 1)]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, on opening a JPEG
            assert sorted(loading.decode_image(of(path)).shape) == [3, 16, 24]


@pytest.mark.parametrize("tag", range(1, 9))
def test_grey_tiffs_are_turned_too(tmp_path, tag):
    """Pillow itself makes something else of those that it maps into memory."""
    exif, values = Image.Exif(), tiny.picture(0)[..., 0]
    exif[0x0112] = tag
    Image.fromarray(values).save(tmp_path / "p.tif", exif=exif)
    np.testing.assert_array_equal(loading.decode_image(of(tmp_path / "p.tif", labelled=True))[..., 0], values)
    Image.fromarray(values).save(tmp_path / "p.png", exif=exif)
    np.testing.assert_array_equal(
        loading.decode_image(of(tmp_path / "p.tif")), loading.decode_image(of(tmp_path / "p.png"))
    )


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_tags_of_no_meaning_turn_nothing(tmp_path, tag):
    assert loading.image_size(of(with_tag(tmp_path, "jpg", tag))) == (24, 16)


# Bit depth


def scaled(values, bits):
    return np.rint(values.astype(np.float64) * 255 / (2**bits - 1)).astype(np.uint8)


def grey(values):
    return np.repeat(values[..., :1], 3, axis=2)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


# Kind of file: how it is written to a folder from uint16 [H, W, 4], its mode, and what of the channels is the picture.
WIDE_FILES = {
    "grey PNG": (lambda f, v: write(f / "p.png", handmade.png(v[..., 0])), "I;16", grey),
    "grey and alpha PNG": (lambda f, v: write(f / "p.png", handmade.png(v[..., :2])), "LA;16B", grey),
    "RGB PNG": (lambda f, v: write(f / "p.png", handmade.png(v[..., :3])), "RGB;16B", lambda v: v[..., :3]),
    "RGBA PNG": (lambda f, v: write(f / "p.png", handmade.png(v)), "RGBA;16B", lambda v: v[..., :3]),
    "PNG of Pillow's": (lambda f, v: saved(f / "p.png", v[..., 0]), "I;16", grey),
    "grey TIFF": (lambda f, v: saved(f / "p.tif", v[..., 0]), "I;16", grey),
    "compressed TIFF": (lambda f, v: saved(f / "p.tif", v[..., 0], compression="tiff_lzw"), "I;16", grey),
    "TIFF of 32 bits": (lambda f, v: saved(f / "p.tif", v[..., 0].astype(np.int32)), "I", grey),
    "TIFF of floats": (lambda f, v: saved(f / "p.tif", v[..., 0].astype(np.float32)), "F", grey),
    "RGB TIFF": (lambda f, v: write(f / "p.tif", handmade.tiff16(v[..., :3])), "RGB;16L", lambda v: v[..., :3]),
    "RGB TIFF, big-endian": (
        lambda f, v: write(f / "p.tif", handmade.tiff16(v[..., :3], order=">")), "RGB;16B", lambda v: v[..., :3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WIDE_FILES)
def test_wide_pictures_are_refused_or_scaled(tmp_path, kind):
    make, mode, channels = WIDE_FILES[kind]
    path = make(tmp_path, WIDE)
    expected = rf"{path.name}: more than 8 bits per channel \(mode {mode}\).*; say how many bits .*bit_depth.* 8 bits$"
    for read in (loading.decode_image, lambda example: loading.load_example(example, (8, 6), None)):
        with pytest.raises(DataError, match=expected) as error:
            read(of(path))
        assert not isinstance(error.value, UnreadableFile) and "\n" not in str(error.value)
    for bits in (16, 12, 9):
        path = make(tmp_path, WIDE >> (16 - bits))
        np.testing.assert_array_equal(loading.decode_image(of(path), bits), scaled(channels(WIDE >> (16 - bits)), bits))
    with pytest.raises(DataError, match=r"its values are \d.* to 65\d\d\d.*but 12 bits hold 0 to 4095; set bit_depth"):
        loading.decode_image(of(make(tmp_path, np.maximum(WIDE, 65_000))), 12)


def test_bit_depth_leaves_ordinary_pictures_alone(tmp_path):
    path = tiny.save(tmp_path / "p.png", tiny.picture(0))
    np.testing.assert_array_equal(loading.decode_image(of(path), 12), tiny.picture(0))


def test_wide_tiffs_are_turned_as_others_are(tmp_path):
    path = write(tmp_path / "p.tif", handmade.tiff16(WIDE[..., :3], orientation=6))
    stored = scaled(WIDE[..., :3], 16)
    np.testing.assert_array_equal(loading.decode_image(of(path, labelled=True), 16), stored)
    np.testing.assert_array_equal(loading.decode_image(of(path), 16), np.rot90(stored, -1))


def test_what_cannot_be_scaled_is_refused_whatever_bit_depth_says(tmp_path):
    path = write(tmp_path / "p.tif", handmade.tiff16(WIDE[..., :3], planes=2))
    for bits in (0, 16):
        with pytest.raises(DataError, match=r"p\.tif: more than 8 bits per channel .*; (say|save it as an RGB)"):
            loading.decode_image(of(path), bits)
    for values in (WIDE[..., 0] / 65535, np.full((4, 4), np.nan), -1.0 - WIDE[..., 0]):
        with pytest.raises(DataError, match=r"p\.tif: its values are .*save it with 8 bits"):
            loading.decode_image(of(saved(path, values.astype(np.float32))), 16)


# Modes


def test_modes_become_rgb_as_people_expect(tmp_path):
    """Alpha is left out, palettes are looked up; nothing is warned of by Pillow."""
    rgb, palette = picture(), picture().quantize(40)
    rgba = picture().convert("RGBA")
    rgba.putalpha(Image.fromarray(tiny.picture(1)[..., 0]))
    cases = {
        "rgba.png": (rgba, {}, rgb),
        "la.png": (rgb.convert("LA"), {}, rgb.convert("L")),
        "grey.png": (rgb.convert("L"), {}, rgb.convert("L")),
        "bilevel.png": (rgb.convert("1"), {}, rgb.convert("1")),
        "palette.png": (palette, {}, palette),
        "one_transparent.png": (palette, {"transparency": 3}, palette),
        "many_transparent.png": (palette, {"transparency": bytes(range(40))}, palette),
        "transparent_colour.png": (rgb, {"transparency": (1, 2, 3)}, rgb),
        "four_bits.png": (rgb.quantize(10), {"bits": 4}, rgb.quantize(10)),
        "cmyk.tif": (rgb.convert("CMYK"), {}, rgb.convert("CMYK")),
        "rgb.bmp": (rgb, {}, rgb),
        "animated.png": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}, rgb),
        "pages.tif": (rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}, rgb),
    }
    for name, (image, options, expected) in cases.items():
        image.save(tmp_path / name, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = loading.decode_image(of(tmp_path / name))
        np.testing.assert_array_equal(read, np.asarray(expected.convert("RGB")), err_msg=name)


def test_a_cmyk_jpeg_has_the_colours_that_it_was_saved_with(tmp_path):
    Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK").save(tmp_path / "p.jpg", quality=95)
    read = loading.decode_image(of(tmp_path / "p.jpg")).astype(int)
    assert np.abs(read - (200, 40, 90)).max() < 4


def test_headers_say_what_may_surprise(tmp_path):
    rgb = picture()
    rgb.save(tmp_path / "a.webp", save_all=True, append_images=[rgb.rotate(90)])
    rgb.save(tmp_path / "m.jpg", format="MPO", save_all=True, append_images=[rgb])
    assert pixel_formats.header(tmp_path / "a.webp").frames == 2
    assert pixel_formats.header(tmp_path / "m.jpg").frames == 1  # a phone's picture with a preview
    opaque, alpha = rgb.convert("RGBA"), rgb.convert("RGBA")
    alpha.putpixel((0, 0), (1, 2, 3, 254))
    for image, transparent in ((opaque, False), (alpha, True)):
        image.save(tmp_path / "p.png")
        assert pixel_formats.header(tmp_path / "p.png").transparent
        assert loading.is_transparent(tmp_path / "p.png") is transparent


# Labels


def label_file(path, kind, **options):
    Image.fromarray(np.full((16, 24), 7, np.uint8)).save(path, kind, **options)
    return path


@pytest.mark.parametrize(
    ("kind", "options", "compression"),
    [
        ("JPEG", {"quality": 100}, "JPEG"),
        ("WEBP", {}, "lossy WebP"),
        ("TIFF", {"compression": "jpeg"}, "JPEG"),
    ],
)
@pytest.mark.parametrize("encoding", [label_spaces.GTA5_IDS, label_spaces.LABEL_IDS], ids=["gta5", "cityscapes"])
def test_lossy_labels_are_refused_whatever_their_name(tmp_path, kind, options, compression, encoding):
    path = label_file(tmp_path / "l.png", kind, **options)
    with pytest.raises(DataError, match=rf"l\.png: .*lossily \({compression}, .*; take the original") as error:
        loading.load_label(path, encoding)
    assert not isinstance(error.value, UnreadableFile)


def test_lossy_webp_is_recognised_inside_other_chunks(tmp_path):
    """With alpha, EXIF or several frames the picture lies deeper in the file."""
    rgba = Image.fromarray(np.dstack([tiny.picture(0), tiny.picture(1)[..., 0]]))
    more = {"save_all": True, "append_images": [rgba.rotate(90)]}
    for image, options in ((rgba, {}), (picture(), {"exif": handmade.exif(1)}), (rgba, more)):
        for lossless in (False, True):
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", lossless=lossless, **options)
            path = write(tmp_path / "l.webp", buffer.getvalue())
            assert bool(pixel_formats.header(path).lossy) is not lossless


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {})]
)
def test_lossless_labels_are_read(tmp_path, kind, options):
    train_ids, unknown = loading.load_label(label_file(tmp_path / "l.png", kind, **options), label_spaces.GTA5_IDS)
    assert not train_ids.any() and not unknown


def test_labels_are_read_as_stored_whatever_their_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    values = tiny.train_id_label(0)
    for name in ("l.png", "l.tif"):
        Image.fromarray(values).save(tmp_path / name, exif=exif)
        np.testing.assert_array_equal(loading.load_label(tmp_path / name, label_spaces.TRAIN_IDS)[0], values)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_labels_of_fewer_bits_would_be_stretched_and_are_refused(tmp_path, bits):
    rows = np.zeros((4, 4 * bits // 8), np.uint8)
    content = handmade.png(rows, bits=bits).replace(
        handmade.png(rows, bits=bits)[8:33], handmade.png(np.zeros((4, 4), np.uint8), bits=bits)[8:33]
    )
    with pytest.raises(DataError, match=rf"l\.png: this label stores {bits} bits of grey .*; save it with 8 bits"):
        loading.load_label(write(tmp_path / "l.png", content), label_spaces.LABEL_IDS)


def test_other_labels_of_no_bytes_are_one_line(tmp_path):
    grey_alpha = Image.fromarray(np.zeros((4, 4), np.uint8)).convert("LA")
    grey_alpha.save(tmp_path / "la.png")
    with pytest.raises(DataError, match=r"la\.png: expected one byte per pixel .* its pixels are grey and alpha"):
        loading.load_label(tmp_path / "la.png", label_spaces.GTA5_IDS)
    Image.fromarray(np.zeros((4, 4), bool)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png: expected one byte per pixel .* its pixels are bool"):
        loading.load_label(tmp_path / "b.png", label_spaces.GTA5_IDS)
    wide = write(tmp_path / "w.png", handmade.png(np.full((4, 4, 3), 128 * 257, np.uint16)))
    with pytest.raises(DataError, match=r"w\.png: this label has more than 8 bits per channel"):
        loading.load_label(wide, label_spaces.GTA5_IDS)
