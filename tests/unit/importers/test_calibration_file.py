"""Calibration files: contents, conversion of floats to pixels, and one clear message for each mistake."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolflow.importers.images.calibration_file import CalibrationFileError, image_shape, load_calibration_file
from toolflow.ir.graph import ChannelMap

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 5, 4, 3), dtype=np.uint8)
FLOATS = RNG.normal(0, 1, (40, 3, 5, 4)).astype(np.float32)
UNREADABLE = r"cannot be read as an \.npz of plain arrays"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write(folder: Path, **arrays: Any) -> Path:
    path = folder / "calibration.npz"
    np.savez(path, **arrays)
    return path


def test_pixels_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, x=PIXELS, y=np.arange(40, dtype=np.uint8) % 10)
    found = load_calibration_file(path, input_shape=(3, 5, 4), classes=10, mean=MEAN, std=(0.5,))
    assert (found.images == PIXELS).all()
    assert found.labels is not None
    assert found.labels.dtype == np.int64
    assert (found.pixels.mean, found.pixels.std, found.pixels.scale) == (MEAN, (0.5,) * 3, 1 / 255)
    table = (np.arange(256)[None] / 255 - np.array(MEAN)[:, None]) / 0.5
    first = np.stack([table[c][PIXELS[..., c]] for c in range(3)])
    told = (found.statistics.lowest, found.statistics.highest, found.statistics.mean, found.statistics.deviation)
    assert told == pytest.approx((first.min(), first.max(), first.mean(), first.std()))
    assert found.notes == (str(found.statistics),)
    assert str(found.statistics) == "the first layer's input lies in -0.97 to 1.188, mean 0.09379, deviation 0.5968"


@pytest.mark.parametrize("x", [PIXELS, FLOATS])
def test_the_shape_of_the_images(tmp_path: Path, x: np.ndarray) -> None:
    assert image_shape(write(tmp_path, x=x)) == (3, 5, 4)


def test_labels_of_one_class_are_noted(tmp_path: Path) -> None:
    found = load_calibration_file(write(tmp_path, x=PIXELS, y=np.full(40, 7)))
    assert found.notes[:-1] == ("every label is 7: accuracies mean little if all images are of one class",)


def test_normalisation_of_the_file_and_reversed_channels(tmp_path: Path) -> None:
    path = write(tmp_path, x=PIXELS, mean=np.array([104, 117, 123]), scale=np.array(1.0))
    found = load_calibration_file(path, reverse_channels=True)
    assert (found.images == PIXELS[..., ::-1]).all()
    assert (found.pixels.mean, found.pixels.std, found.pixels.scale) == ((104.0, 117.0, 123.0), (1.0,) * 3, 1.0)
    assert found.labels is None
    assert load_calibration_file(path, mean=[1.0]).pixels.mean == (1.0,) * 3


def test_normalised_floats_return_to_the_same_pixels(tmp_path: Path) -> None:
    inputs = ((PIXELS / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    found = load_calibration_file(write(tmp_path, x=inputs), mean=MEAN, std=STD)
    assert (found.images == PIXELS).all()
    assert "mean 0.485, 0.456, 0.406" in found.notes[0]
    flipped = load_calibration_file(write(tmp_path, x=inputs[:, ::-1]), mean=MEAN, std=STD, reverse_channels=True)
    assert (flipped.images == PIXELS).all()


@pytest.mark.parametrize(
    ("x", "span"),
    [
        (RNG.random((40, 3, 5, 4)) * 0.9, (0.0, 1.0)),
        (RNG.integers(0, 200, (40, 3, 5, 4)).astype(np.float32), (0.0, 255.0)),
        (FLOATS, None),
    ],
)
def test_floats_without_normalisation_span_their_values(
    tmp_path: Path, x: np.ndarray, span: tuple[float, float] | None
) -> None:
    found = load_calibration_file(write(tmp_path, x=x))
    for channel in range(3):
        lowest, highest = span or (x[:, channel].min(), x[:, channel].max())
        step = (highest - lowest) / 255
        back = found.images[..., channel] * step + lowest
        assert np.abs(back - x[:, channel]).max() <= 0.5001 * step
        mean, std = found.pixels.mean[channel], found.pixels.std[channel]
        assert (255 / 255 - mean) / std == pytest.approx(highest, abs=1e-6)
        assert (0 - mean) / std == pytest.approx(lowest, abs=1e-6)
    assert "of a pixel step" in found.notes[0]


def broken(value: float) -> np.ndarray:
    x = FLOATS.copy()
    x[7, 0, 0, 0] = x[9, 1, 2, 3] = value
    return x


def constant() -> np.ndarray:
    x = PIXELS.copy()
    x[3] = 17
    return x


@pytest.mark.parametrize(
    ("arrays", "options", "text"),
    [
        ({"images": PIXELS}, {}, "must hold an array 'x' of images, not only: images"),
        ({"x": PIXELS.astype(np.int64)}, {}, r"x must be uint8 \(N,H,W,C\) or float32 \(N,C,H,W\), not int64"),
        ({"x": PIXELS[..., 0]}, {}, r"\(N,H,W,C\), not \(40, 5, 4\): give one channel its axis, x\[:, :, :, None\]"),
        ({"x": FLOATS[:, 0]}, {}, r"\(N,C,H,W\), not \(40, 5, 4\): give one channel its axis, x\[:, None\]"),
        ({"x": PIXELS}, {"input_shape": (3, 8, 8)}, r"\(N, 8, 8, 3\), .* as the model takes it, not \(40, 5, 4, 3\)$"),
        ({"x": PIXELS}, {"input_shape": (5, 4, 3)}, r"transpose it, x.transpose\(0, 2, 3, 1\)"),
        ({"x": FLOATS}, {"input_shape": (4, 3, 5)}, r"transpose it, x.transpose\(0, 3, 1, 2\)"),
        ({"x": PIXELS[:9]}, {}, "x must hold at least 32 images, not 9"),
        ({"x": PIXELS[:0]}, {}, "x must hold at least 32 images, not 0"),
        ({"x": broken(np.nan)}, {}, r"2 image\(s\) of x \(at 7, 9\) hold NaN or infinity"),
        ({"x": broken(-np.inf)}, {}, r"2 image\(s\) of x \(at 7, 9\) hold NaN or infinity"),
        ({"x": constant()}, {}, r"1 image\(s\) of x \(at 3\) are constant"),
        ({"x": np.zeros_like(PIXELS)}, {}, r"40 image\(s\) of x \(at 0, 1, 2, 3, 4, …\) are constant"),
        ({"x": np.repeat(PIXELS[:1], 40, axis=0)}, {}, "all 40 images of x are the same"),
        ({"x": PIXELS, "y": np.zeros(39, int)}, {}, r"y must have the shape \(40,\), .*, not \(39,\)$"),
        ({"x": PIXELS, "y": np.zeros((40, 1), int)}, {}, r"not \(40, 1\): flatten it, y.reshape\(-1\)"),
        ({"x": PIXELS, "y": np.zeros(40)}, {}, "y must hold class numbers as integers, not float64"),
        ({"x": PIXELS, "y": np.full(40, -1)}, {}, "y must be 0 or more, not -1 to -1"),
        ({"x": PIXELS, "y": np.full(40, 10)}, {"classes": 10}, r"within \[0, 9\], the model's classes, not 10 to 10"),
        ({"x": PIXELS}, {"mean": (0.1, 0.2)}, "mean must be 1 or 3 finite numbers, one per channel, not"),
        ({"x": PIXELS}, {"std": (0.1, 0.0, 0.1)}, r"std must be positive, not \[0.1, 0.0, 0.1\]"),
        ({"x": PIXELS}, {"scale": -1.0}, r"scale must be positive, not \[-1.0\]"),
        ({"x": PIXELS, "mean": np.array(["a"])}, {}, "mean must be 1 or 3 finite numbers"),
        ({"x": FLOATS}, {"mean": (0.5,), "std": (5.0,)}, "give those that x was normalised with, or none to span"),
    ],
)
def test_mistakes(tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], text: str) -> None:
    with pytest.raises(CalibrationFileError, match=text):
        load_calibration_file(write(tmp_path, **arrays), **options)


OF_255 = {"mean": np.array([123.7, 116.3, 103.5]), "std": np.array([58.4])}
DIVIDED = (
    r"Write mean=\[0.485098, 0.456078, 0.405882\], std=\[0.22902\] \(--mean 0.485098,0.456078,0.405882 --std 0.22902\)"
)


@pytest.mark.parametrize(
    ("arrays", "options", "text"),
    [
        (OF_255, {}, "mean 123.7, 116.3, 103.5 and std 58.4, 58.4, 58.4 must be of pixels in 0 to 1, .* " + DIVIDED),
        (OF_255, {}, r"or scale=1 beside them \(--pixel-scale 1\) if"),
        ({}, {"mean": (76.5,)}, r"input would lie in -76.5 to -75.5. Write mean=\[0.3\] \(--mean 0.3\), or scale=1"),
        ({"std": np.array(58.4)}, {}, r"std 58.4, 58.4, 58.4 must be of pixels in 0 to 1"),
        (
            {"mean": np.array(MEAN), "std": np.array(STD), "scale": np.array(1.0)},
            {},
            r"must be of pixels in 0 to 255, as scale 1 makes them, .* Leave out the scale, or write "
            r"mean=\[123.675, 116.28, 103.53\], std=\[58.395, 57.12, 57.375\]",
        ),
        ({"std": np.array(1e-300)}, {}, r"must be finite and at most 1,000,000 in magnitude, not 0 to 1e\+300"),
        ({"mean": np.array(1e300)}, {}, "must be finite and at most 1,000,000 in magnitude"),
        ({"mean": np.array(9e5), "scale": np.array(0.01)}, {}, "must give different inputs of the first layer"),
        (
            {"scale": np.array(1e-300)},
            {},
            r"channel 0 gives 0 to 2.55e-298 \(mean 0, 0, 0, std 1, 1, 1, scale 1e-300\)",
        ),
    ],
)
def test_a_normalisation_that_cannot_be_meant(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(CalibrationFileError, match=text):
        load_calibration_file(write(tmp_path, x=PIXELS, **arrays), **options)


def test_both_ways_to_write_it_are_one_map(tmp_path: Path) -> None:
    one = load_calibration_file(write(tmp_path, x=PIXELS, mean=OF_255["mean"], std=OF_255["std"], scale=1.0))
    other = load_calibration_file(write(tmp_path, x=PIXELS, mean=OF_255["mean"] / 255, std=OF_255["std"] / 255))
    np.testing.assert_allclose(one.pixels.table(), other.pixels.table(), rtol=1e-12)
    meant = load_calibration_file(write(tmp_path, x=PIXELS, mean=[76.5], std=[91.8]), scale=1 / 255)
    assert meant.pixels.mean == (76.5,) * 3
    assert "channel 2 of the first layer's input is almost constant" in meant.warnings[-1]


IMAGENET = ChannelMap(tuple(1 / std for std in STD), tuple(-m / s for m, s in zip(MEAN, STD, strict=True)))
BY_255 = ChannelMap((1 / 255,) * 3, (0.0,) * 3)


@pytest.mark.parametrize(
    ("inside", "arrays", "warned"),
    [
        (IMAGENET, {}, None),
        (IMAGENET, {"mean": np.array(MEAN), "std": np.array(STD)}, "the model normalises its image itself and mean"),
        (BY_255, {}, "one that divides by 255 itself wants scale=1"),
        (BY_255, {"scale": np.array(1.0)}, None),
        (None, {"scale": np.array(1.0)}, None),
        (None, {"scale": np.array(257.0)}, "is wider than pixels of 0 to 255"),
    ],
)
def test_an_unlikely_input_is_warned_of(
    tmp_path: Path, inside: ChannelMap | None, arrays: dict[str, Any], warned: str | None
) -> None:
    found = load_calibration_file(write(tmp_path, x=PIXELS, **arrays), input_map=inside)
    assert bool(found.warnings) == (warned is not None)
    assert warned is None or any(warned in warning for warning in found.warnings)


def test_floats_that_mean_and_std_are_yet_to_change_are_warned_of(tmp_path: Path) -> None:
    plain = (PIXELS / 255).transpose(0, 3, 1, 2).astype(np.float32)
    found = load_calibration_file(write(tmp_path, x=plain, mean=np.array(MEAN), std=np.array(STD)))
    assert "write x = (x − mean) / std" in found.warnings[0]
    normalised = ((PIXELS / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    found = load_calibration_file(write(tmp_path, x=normalised, mean=np.array(MEAN), std=np.array(STD)))
    assert not found.warnings


def test_nothing_is_unfolded_before_its_header_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file can decompress to any size; here x takes 40 MB on a machine with 64 MB."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros((40, 1000, 1000, 1), np.uint8), y=np.zeros(40, int))
    assert path.stat().st_size < 100_000

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("an array was unfolded")

    monkeypatch.setattr(np, "load", refuse)
    assert image_shape(path) == (1, 1000, 1000)
    with pytest.raises(CalibrationFileError, match=r"\(N, 8, 8, 1\), .* not \(40, 1000, 1000, 1\)"):
        load_calibration_file(path, input_shape=(1, 8, 8))
    with pytest.raises(CalibrationFileError, match="at least 64 images, not 40"):
        load_calibration_file(path, min_images=64)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 14}.__getitem__)
    with pytest.raises(CalibrationFileError, match=r"at most half of this machine's 0.0625 GiB of memory, not 0.0373"):
        load_calibration_file(path)
    monkeypatch.undo()
    np.savez_compressed(path, x=PIXELS, mean=np.zeros(10_000_000))
    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(CalibrationFileError, match="mean must hold one number for each image or channel, not 10,000"):
        load_calibration_file(path)


@pytest.mark.parametrize("shape", [(-1, -5, 4, 3), (10**12, 5, 4, 3), (40, 5, 4, 4)])
def test_a_header_that_lies_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "lies.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})
        file.write(PIXELS.tobytes())
    with pytest.raises(CalibrationFileError, match=UNREADABLE + ".*must not have 2400 bytes of data"):
        load_calibration_file(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CalibrationFileError, match="does not exist: give an"):
        load_calibration_file(tmp_path / "absent.npz")
    whole = write(tmp_path, x=PIXELS).read_bytes()
    for contents in (b"", b"not an archive", whole[: len(whole) // 2], whole[:200] + bytes(200) + whole[400:]):
        path = tmp_path / "bad.npz"
        path.write_bytes(contents)
        with pytest.raises(CalibrationFileError, match=UNREADABLE):
            load_calibration_file(path)
    single = tmp_path / "single.npy"
    np.save(single, PIXELS)
    with pytest.raises(CalibrationFileError, match="not a single array"):
        load_calibration_file(single)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CalibrationFileError, match=UNREADABLE):
        load_calibration_file(path)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("x", "no array")
    with pytest.raises(CalibrationFileError, match="x must be an array, not bytes"):
        load_calibration_file(tmp_path / "text.npz")
