"""Calibration files: what is read, how floats become pixels, and one clear message for each mistake."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolflow.importers.calibration_file import CalibrationFileError, image_shape, load_calibration_file

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
    assert found.notes == ()


@pytest.mark.parametrize("x", [PIXELS, FLOATS])
def test_the_shape_of_the_images(tmp_path: Path, x: np.ndarray) -> None:
    assert image_shape(write(tmp_path, x=x)) == (3, 5, 4)


def test_labels_of_one_class_are_noted(tmp_path: Path) -> None:
    found = load_calibration_file(write(tmp_path, x=PIXELS, y=np.full(40, 7)))
    assert found.notes == ("every label is 7: accuracies say little where the images are of one class",)


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
    with pytest.raises(CalibrationFileError, match="cannot be read"):
        load_calibration_file(tmp_path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CalibrationFileError, match=UNREADABLE):
        load_calibration_file(path)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("x", "no array")
    with pytest.raises(CalibrationFileError, match="x must be an array, not bytes"):
        load_calibration_file(tmp_path / "text.npz")
