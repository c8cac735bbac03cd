"""Pixels of any kind of image at one size, with 1 or 3 channels, in 8 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from tfgan_ema.data import images

GREY = hnp.arrays(np.uint16, (5, 7))
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def saved(image, kind, **options):
    """An image, or an array, as the bytes of a file."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def fitted(content, channels=3, size=None):
    with Image.open(io.BytesIO(content)) as image:
        return images.fit(image, size, channels)


def tiff(values, *, kind=1, photometric=1, order="<", bits=None, width=None):
    """A TIFF of grey values, written by hand: ``kind`` is 1 unsigned, 2 signed, 3 float."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = len(values), width or values.shape[1]
    bits = bits or 8 * values.itemsize
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1,
            278: height, 279: len(data), 339: kind}  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4  # the pixels follow the directory
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + b"".join(entries) + bytes(4) + data


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png, kind, data):
    """A PNG with a further chunk after its header."""
    return png[:33] + chunk(kind, data) + png[33:]


# --------------------------------------------------------------- size and channels


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, (5, 7, 3)))
def test_grey_is_pillows_luma(image):
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(images.to_channels(image, 1)[..., 0], expected)


def test_28_pixel_images_reach_32_in_a_black_frame():
    small = np.random.default_rng(0).integers(1, 256, (3, 28, 28, 1), dtype=np.uint8)
    large = images.fit_arrays(small, 32, 3)
    assert large.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(large[:, 2:30, 2:30], small.repeat(3, axis=-1))
    assert large.astype(int).sum() == 3 * small.astype(int).sum()
    np.testing.assert_array_equal(images.fit_array(small[0], 32, 1), large[0, ..., :1])


def test_fit_crops_the_centre_and_averages():
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 200  # just the central square
    assert (images.fit_array(wide, 4, 3) == 200).all()
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    assert abs(images.fit_array(checks, 8, 1).astype(int) - 127).max() <= 2  # no aliasing


def test_a_huge_jpeg_is_decoded_at_a_fraction_of_its_size():
    wave = 60 * np.sin(np.linspace(0, 9, 2560))
    photo = Image.fromarray((127 + np.add.outer(wave, wave[:2048])).astype(np.uint8))
    content = saved(photo, "JPEG", quality=95)
    with Image.open(io.BytesIO(content)) as image:
        found = images.fit(image, 32, 1)
        assert image.size == (256, 320)
    means = np.asarray(photo)[256:2304].reshape(32, 64, 32, 64).mean((1, 3))
    assert abs(found[..., 0] - means).max() < 3
    whole = images.fit(Image.open(io.BytesIO(content)).convert("L"), 32, 1)
    assert abs(found.astype(int) - whole).max() <= 2


# ----------------------------------------------------------------------- depth


@settings(max_examples=25)
@given(GREY)
def test_16_bit_grey_is_scaled_in_every_container(grey):
    expected = np.rint(grey / 257)  # 65535 = 257 * 255
    png = saved(grey, "PNG")
    decoded = tf.io.decode_png(png, dtype=tf.uint16)[..., 0].numpy()
    np.testing.assert_array_equal(np.rint(decoded / 257), expected)
    pgm = b"P5 7 5 65535\n" + grey.astype(">u2").tobytes()
    plain = f"P2 7 5 65535\n{' '.join(map(str, grey.ravel()))}\n".encode()
    packed = saved(grey, "TIFF", compression="tiff_adobe_deflate")
    lossless = saved(grey, "JPEG2000", irreversible=False)
    for content in (png, pgm, plain, packed, lossless, tiff(grey), tiff(grey, order=">")):
        np.testing.assert_array_equal(fitted(content, 1)[..., 0], expected)
        np.testing.assert_array_equal(fitted(content, 3), np.stack([expected] * 3, axis=-1))
    negative = fitted(tiff(grey, photometric=0), 1)[..., 0]
    np.testing.assert_array_equal(negative, np.rint(255 - grey / 257))


@settings(max_examples=25)
@given(GREY)
def test_grey_of_other_depths_is_scaled(grey):
    sixteen, twelve, fifteen = grey / 65535, (grey >> 4) / 4095, (grey >> 1) / 32767
    nibbles = np.repeat(grey >> 4, 2, axis=1)[:, :6]  # an even number to a row
    packed = np.empty((5, 9), np.uint8)
    packed[:, 0::3], packed[:, 2::3] = nibbles[:, 0::2] >> 4, nibbles[:, 1::2] & 255
    packed[:, 1::3] = (nibbles[:, 0::2] & 15) << 4 | nibbles[:, 1::2] >> 8
    for content, expected in (
        (tiff(packed, bits=12, width=6), nibbles / 4095),
        (b"P5 7 5 4095\n" + (grey >> 4).astype(">u2").tobytes(), twelve),
        (tiff((grey >> 1).astype(np.int16), kind=2), fifteen),
        (tiff(grey.astype(np.uint32)), sixteen),
        (tiff(grey.astype(np.int32), kind=2, order=">"), sixteen),
        (tiff(sixteen.astype(np.float32), kind=3), sixteen),
        (tiff(sixteen.astype(np.float32), kind=3, photometric=0, order=">"), 1 - sixteen),
        (b"Pf\n7 5\n-1.0\n" + sixteen[::-1].astype("<f4").tobytes(), sixteen),
    ):
        np.testing.assert_allclose(fitted(content, 1)[..., 0], 255 * expected, atol=0.51)


@pytest.mark.parametrize(
    "content",
    [
        tiff(np.full((2, 2), 70_000, np.uint32)),
        tiff(np.full((2, 2), 2**32 - 1, np.uint32)),
        tiff(np.full((2, 2), -1, np.int32), kind=2),
        tiff(np.full((2, 2), -1, np.int16), kind=2),
        tiff(np.full((2, 2), 255, np.float32), kind=3),
        tiff(np.array([[0, np.nan]], np.float32), kind=3),
        tiff(np.array([[0, -np.inf]], np.float32), kind=3),
    ],
)
def test_pixels_without_a_known_white_are_refused(content):
    with pytest.raises(ValueError, match=r"its pixels run from \S+ to \S+, expected 0 to "):
        fitted(content)


# ---------------------------------------------------------------------- colour


@settings(max_examples=25)
@given(hnp.arrays(np.uint8, (4, 4, 4)))
def test_transparency_is_laid_over_white(rgba):
    def over_white(colour, alpha):
        return 255 - alpha / 255 * (255 - colour.astype(float))

    for kind in ("PNG", "TIFF"):
        found = fitted(saved(rgba, kind))
        np.testing.assert_allclose(found, over_white(rgba[..., :3], rgba[..., 3:]), atol=1)
    grey = fitted(saved(Image.fromarray(rgba).convert("RGBA").convert("LA"), "PNG"), 1)
    luma = images.to_channels(rgba[..., :3], 1)
    np.testing.assert_allclose(grey, over_white(luma, rgba[..., 3:]), atol=1)
    palette = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), "P")
    palette.putpalette(rgba[..., :3].tobytes())
    content = saved(palette, "PNG", transparency=rgba[..., 3].tobytes())
    np.testing.assert_allclose(fitted(content), over_white(rgba[..., :3], rgba[..., 3:]), atol=1)
    gif = saved(palette, "GIF", transparency=5)
    expected = rgba[..., :3].copy()
    expected[1, 1] = 255
    same = (rgba[..., :3] == rgba[1, 1, :3]).all(-1)  # the writer joins equal colours
    np.testing.assert_array_equal(fitted(gif)[~same], expected[~same])
    assert (fitted(gif)[1, 1] == 255).all()


def test_a_transparent_level_of_grey_becomes_white():
    shallow, deep = np.array([[7, 200]], np.uint8), np.array([[0x1234, 40_000]], np.uint16)
    for grey, level in ((shallow, 7), (deep, 0x1234)):
        content = with_chunk(saved(grey, "PNG"), b"tRNS", struct.pack(">H", level))
        assert fitted(content, 1).ravel().tolist() == [255, 200 if grey is shallow else 156]


@settings(max_examples=25)
@given(hnp.arrays(np.uint8, (4, 4, 4)))
def test_cmyk_is_ink_on_white(inks):
    content = saved(Image.fromarray(inks, "CMYK"), "TIFF")
    light = 255 - inks.astype(float)
    np.testing.assert_allclose(fitted(content), light[..., :3] * light[..., 3:] / 255, atol=1)
    assert fitted(content, 1).shape == (4, 4, 1)


def test_cmyk_in_jpeg_is_not_inverted():
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert abs(fitted(saved(cyan, "JPEG")).astype(int) - [0, 255, 255]).max() < 8


@pytest.mark.parametrize("channels", [1, 3])
def test_lab_and_black_and_white_are_read(channels):
    profiles = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
    change = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    red = ImageCms.applyTransform(Image.new("RGB", (4, 4), "red"), change)
    expected = [[255, 0, 0], [76]][channels == 1]
    assert abs(fitted(saved(red, "TIFF"), channels).astype(int) - expected).max() < 8
    checks = np.indices((4, 4)).sum(0) % 2 == 1
    found = fitted(saved(checks, "PNG"), channels)
    np.testing.assert_array_equal(found, np.where(checks, 255, 0)[..., None].repeat(channels, -1))


# ----------------------------------------------------------- EXIF data, profiles


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_photographs_are_turned_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255  # marks the corner of the first row and the first column
    found = fitted(saved(stored, kind, exif=exif)) > 127
    # where TIFF 6.0 puts the first row and the first column as they are seen
    corner = {2: (0, -1), 3: (-1, -1), 4: (-1, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert found.shape == ((32, 16, 3) if 5 <= orientation <= 8 else (16, 32, 3))
    assert found[corner.get(orientation, (0, 0))].all()
    assert found.mean() == pytest.approx(1 / 8, abs=0.01)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@settings(max_examples=60)
@given(st.binary(max_size=80), st.sampled_from([b"", b"Exif\0\0", b"II*\0\x08\0\0\0\x03\0"]))
def test_damaged_exif_data_cost_no_image(junk, head):
    for content in (
        with_chunk(saved(NOISE, "PNG"), b"eXIf", head + junk),
        saved(NOISE, "WEBP", lossless=True, exif=head + junk),
        saved(NOISE, "JPEG", exif=b"Exif\0\0" + head + junk),
    ):
        with Image.open(io.BytesIO(content)) as image:
            plain = np.asarray(image.convert("RGB"))
        found = fitted(content)
        turns = [np.rot90(side, k) for side in (plain, plain[:, ::-1]) for k in range(4)]
        assert any((found == turned).all() for turned in turns)


def test_an_orientation_beside_damaged_tags_still_counts():
    entries = struct.pack("<HHIHxx", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x8769, 4, 1, 1 << 30)
    exif = b"II*\0\x08\0\0\0\2\0" + entries + bytes(4)
    found = fitted(with_chunk(saved(NOISE[:8], "PNG"), b"eXIf", exif))
    np.testing.assert_array_equal(found, np.rot90(NOISE[:8], -1))


@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=80))
def test_damaged_colour_profiles_cost_no_image(junk):
    profile = b"name\0\0" + junk  # not even compressed
    np.testing.assert_array_equal(fitted(with_chunk(saved(NOISE, "PNG"), b"iCCP", profile)), NOISE)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {})):
        plain = fitted(saved(NOISE, kind, **options))
        content = saved(NOISE, kind, icc_profile=junk, **options)
        np.testing.assert_array_equal(fitted(content), plain)


# ---------------------------------------------------------------------- frames


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (fitted(content) == [255, 0, 0]).all()


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_large_images_are_reduced_first(mode, monkeypatch):
    """And come out as without it, where pixels change slowly."""
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[:, None] // 2 + ramp[None] // 2, (300, 300))
    if mode == "I;16":
        picture = Image.fromarray(pixels.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(pixels).convert("RGB").convert(mode)
    content = saved(picture, "PNG")
    whole = fitted(content, size=8)
    monkeypatch.setattr(images, "LARGE", 1000)
    np.testing.assert_allclose(fitted(content, size=8), whole, atol=3)
