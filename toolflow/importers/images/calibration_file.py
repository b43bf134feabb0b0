"""Calibration files: an `.npz` with images `x`, optional labels `y`, and the normalisation of pixels; or a folder.

`x` is either uint8 (N, H, W, C), pixels as a camera gives them, or float32 (N, C, H, W), the model's own input; of
signals (N, length, C) or (N, C, length), which are maps of height 1.
The device takes uint8 pixels. So floats are mapped to pixels by one affine map per channel, on the host:

    model input = (pixel·scale − mean) / std           pixel = clip(round_half_even((input·std + mean) / scale), 0, 255)

mean and std are of pixels times `scale`: of 0 to 1, where no scale is given (1/255).
With mean and std given, the map is theirs. Without them it spans the values found: [0, 1] where all lie within it,
[0, 255] where all are whole numbers within that, else each channel's own least and greatest value.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from toolflow.importers.images.folder import folder_shape, read_folder
from toolflow.importers.images.npz_header import Header, is_single_array, read_headers
from toolflow.importers.images.pixels import DEFAULT_SCALE, InputStatistics, PixelMap, input_statistics
from toolflow.importers.images.plausible import listed, unnormalised, unusable, warnings, wrong_units
from toolflow.ir.errors import UNREADABLE, ToolflowError
from toolflow.ir.graph import ChannelMap
from toolflow.ir.operator import Shape

ARRAYS = ("x", "y", "mean", "std", "scale")
MIN_IMAGES = 32
NAMED = 5
GIB = 1 << 30


class CalibrationFileError(ToolflowError):
    """A calibration file that cannot be used."""


@dataclass(frozen=True)
class CalibrationImages:
    """What a calibration file holds, as the device takes it.

    Attributes:
        images: uint8 (N, H, W, C), channels in the model's order.
        labels: int64 (N,), or None.
        pixels: how a pixel becomes what the first layer reads.
        statistics: statistics of the first layer's input.
        notes: the changes made to the file's contents, in sentences.
        warnings: unlikely properties of the first layer's input, in sentences.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    pixels: PixelMap
    statistics: InputStatistics
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def require_apart(one: CalibrationImages, its_file: Path, other: CalibrationImages, other_file: Path) -> None:
    """Refuse a pair of files if images of one cannot measure what was learnt on the other.

    Raises:
        CalibrationFileError: their pixels are normalised in different ways, or an image is in both.
    """
    if one.pixels != other.pixels:
        raise CalibrationFileError(
            f"{its_file} must normalise its pixels as {other_file} does ({other.pixels}), not as {one.pixels}"
        )
    shared = _digests(one.images) & _digests(other.images)
    if shared:
        raise CalibrationFileError(
            f"{its_file} must hold other images than {other_file}, but {len(shared):,} are in both: what is reported "
            "would be measured on images that the network was made from"
        )


def _digests(images: npt.NDArray[np.uint8]) -> set[bytes]:
    return {hashlib.sha256(image.tobytes()).digest() for image in images}


def load_calibration_file(
    path: Path,
    *,
    input_shape: Shape | None = None,
    input_map: ChannelMap | None = None,
    classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    scale: float | None = None,
    reverse_channels: bool = False,
    min_images: int = MIN_IMAGES,
) -> CalibrationImages:
    """Read a calibration file.

    Args:
        path: the `.npz`, or a folder of JPEG and PNG files (`folder.py`).
        input_shape: (C, H, W) that the model takes; None to take what the file holds.
        input_map: what the model itself does to its input before the first layer.
        classes: outputs of the model; None to leave the labels' upper bound unchecked.
        mean: what is subtracted from pixel·scale, one value or one per channel in the model's order;
            None for the file's array `mean`, or 0.
        std: what the difference is divided by; None for the file's `std`, or 1.
        scale: factor of a pixel; None for the file's `scale`, or 1/255.
        reverse_channels: the file's channels are in the reverse of the model's order (RGB and BGR).
        min_images: smallest number of images that is accepted.

    Raises:
        CalibrationFileError: the file cannot be read, or what it holds cannot be used; says what to do.
        ImageFolderError: a folder holds something else than images; names the files.
    """
    arrays, notes = _of_folder(path, input_shape) if path.is_dir() else ({}, [])
    headers = {name: Header(array.shape, array.dtype) for name, array in arrays.items()} or _headers(path)
    headers["x"] = replace(headers["x"], shape=_as_maps(headers["x"], input_shape))
    _check_shape(path, headers["x"], input_shape)
    if headers["x"].shape[0] < min_images:
        raise CalibrationFileError(
            f"{path}: x must hold at least {min_images} images, not {headers['x'].shape[0]}: ranges and thresholds "
            "found on fewer would not hold for others"
        )
    _check_sizes(path, headers)
    arrays = arrays or _read(path)
    x = arrays["x"].reshape(headers["x"].shape)
    _check_values(path, x)
    labels = _labels(path, arrays.get("y"), len(x), classes)
    channels = x.shape[3] if x.dtype == np.uint8 else x.shape[1]
    given = _normalisation(path, arrays, channels, mean, std, scale)
    if reverse_channels:
        x = x[..., ::-1] if x.dtype == np.uint8 else x[:, ::-1]
        notes.append("channels were reversed")
    if labels is not None and len(np.unique(labels)) == 1:
        notes.append(f"every label is {labels[0]}: accuracies mean little if all images are of one class")
    pixels = _pixel_map(path, x, given, input_map)
    images = np.ascontiguousarray(x) if x.dtype == np.uint8 else _float_images(path, x, pixels, notes)
    whole, channels_apart = input_statistics(images, pixels.then(input_map))
    doubts = [] if x.dtype == np.uint8 else unnormalised(x, pixels)
    doubts += warnings(pixels, input_map, whole, channels_apart)
    return CalibrationImages(images, labels, pixels.then(input_map), whole, (*notes, str(whole)), tuple(doubts))


def _normalisation(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    channels: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    scale: float | None,
) -> dict[str, tuple[float, ...] | None]:
    """Return mean, std and scale as they are given, else as the file has them; None if neither says one."""
    given = {
        "mean": _numbers(path, "mean", arrays.get("mean") if mean is None else np.array(mean, dtype=float), channels),
        "std": _numbers(path, "std", arrays.get("std") if std is None else np.array(std, dtype=float), channels),
        "scale": _numbers(path, "scale", arrays.get("scale") if scale is None else np.array([scale]), 1),
    }
    for name in ("std", "scale"):
        if min(given[name] or (1.0,)) <= 0:
            raise CalibrationFileError(f"{path}: {name} must be positive, not {list(given[name] or ())}")
    return given


def _pixel_map(
    path: Path,
    x: np.ndarray,
    given: Mapping[str, tuple[float, ...] | None],
    input_map: ChannelMap | None,
) -> PixelMap:
    """Return the map from a pixel to the network's input, after a check for impossible values."""
    channels = x.shape[3] if x.dtype == np.uint8 else x.shape[1]
    named = PixelMap(
        mean=given["mean"] or (0.0,) * channels,
        std=given["std"] or (1.0,) * channels,
        scale=(given["scale"] or (DEFAULT_SCALE,))[0],
    )
    pixels = named if x.dtype == np.uint8 or any(given.values()) else _spanning(x)
    problem = unusable(pixels.then(input_map)) or (wrong_units(named, given) if x.dtype == np.uint8 else None)
    if problem is not None:
        own = "" if input_map is None else ", and what the model itself does to its input"
        raise CalibrationFileError(
            f"{path}: {problem} (mean {listed(pixels.mean)}, std {listed(pixels.std)}, scale {pixels.scale:.6g}{own})"
        )
    return pixels


def image_shape(path: Path) -> Shape:
    """Return the shape (C, H, W) of the images in a calibration file, of a folder that of its first image.

    Raises:
        CalibrationFileError: the file cannot be read, or holds no batch of images.
        ImageFolderError: the same of a folder.
    """
    if path.is_dir():
        return folder_shape(path)
    x = _headers(path)["x"]
    _check_shape(path, x, None)
    height, width, channels = x.shape[1:] if x.dtype == np.uint8 else (*x.shape[2:], x.shape[1])
    return channels, height, width


def _of_folder(path: Path, input_shape: Shape | None) -> tuple[dict[str, np.ndarray], list[str]]:
    found = read_folder(path, input_shape)
    arrays: dict[str, np.ndarray] = {"x": found.images}
    if found.labels is not None:
        arrays["y"] = found.labels
    return arrays, list(found.notes)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one message."""
    try:
        yield
    except FileNotFoundError as error:
        raise CalibrationFileError(f"{path} does not exist: give an .npz made by numpy.savez") from error
    except UNREADABLE as error:
        raise CalibrationFileError(
            f"{path} cannot be read as an .npz of plain arrays ({error}): write it again by numpy.savez(file, x=…, y=…)"
        ) from error


def _headers(path: Path) -> dict[str, Header]:
    """Return the headers of the file's arrays, of `x` at least, before anything is unfolded."""
    with _readable(path):
        if is_single_array(path):
            raise CalibrationFileError(f"{path} must be an .npz with arrays x and y, not a single array (.npy)")
        found = read_headers(path)
    if "x" not in found:
        held = ", ".join(sorted(found)) or "nothing"
        raise CalibrationFileError(f"{path} must hold an array 'x' of images, not only: {held}")
    headers = {}
    for name in ARRAYS:
        if name in found:
            header = found[name]
            if header is None:
                raise CalibrationFileError(f"{path}: {name} must be an array, not bytes")
            headers[name] = header
    return headers


def _read(path: Path) -> dict[str, np.ndarray]:
    with _readable(path), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in ARRAYS if name in archive.files}


def _as_maps(x: Header, input_shape: Shape | None) -> Shape:
    """Return the shape of x, with a height of 1 where the model takes that and x holds signals."""
    if input_shape is None or input_shape[1] != 1 or len(x.shape) != 3:
        return x.shape
    before = 1 if x.dtype == np.uint8 else 2
    return (*x.shape[:before], 1, *x.shape[before:])


def _check_sizes(path: Path, headers: Mapping[str, Header]) -> None:
    """Refuse arrays that would fill the memory; a small file can unfold to any size."""
    x = headers["x"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if x.nbytes > memory // 2:
        raise CalibrationFileError(
            f"{path}: x of shape {x.shape} must take at most half of this machine's {memory / GIB:.3g} GiB of memory, "
            f"not {x.nbytes / GIB:.3g} GiB: give fewer images"
        )
    bound = max(x.shape)
    for name, header in headers.items():
        if name != "x" and header.size > bound:
            raise CalibrationFileError(
                f"{path}: {name} must hold one number for each image or channel, not {header.size:,}"
            )


def _check_shape(path: Path, x: Header, input_shape: Shape | None) -> None:
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise CalibrationFileError(
            f"{path}: x must be uint8 (N,H,W,C) or float32 (N,C,H,W), not {x.dtype}: convert it, for example "
            "x.astype('uint8') if it holds pixels of 0 to 255"
        )
    layout = "(N,H,W,C)" if x.dtype == np.uint8 else "(N,C,H,W)"
    if len(x.shape) != 4 or 0 in x.shape[1:]:
        hint = ""
        if len(x.shape) == 3:
            hint = f": give one channel its axis, x[{':, :, :, None' if x.dtype == np.uint8 else ':, None'}]"
        raise CalibrationFileError(f"{path}: x of {x.dtype} must have the shape {layout}, not {x.shape}{hint}")
    if input_shape is None:
        return
    channels, height, width = input_shape
    wanted = (height, width, channels) if x.dtype == np.uint8 else (channels, height, width)
    if x.shape[1:] != wanted:
        swapped = (channels, height, width) if x.dtype == np.uint8 else (height, width, channels)
        axes = "0, 2, 3, 1" if x.dtype == np.uint8 else "0, 3, 1, 2"
        hint = f": transpose it, x.transpose({axes})" if x.shape[1:] == swapped else ""
        raise CalibrationFileError(
            f"{path}: x of {x.dtype} must have the shape (N, {', '.join(map(str, wanted))}), {layout} as the model "
            f"takes it, not {x.shape}{hint}"
        )


def _check_values(path: Path, x: np.ndarray) -> None:
    flat = x.reshape(len(x), -1)
    if x.dtype != np.uint8:
        bad = np.flatnonzero(~np.isfinite(flat).all(axis=1))
        if bad.size:
            raise CalibrationFileError(
                f"{path}: x must be finite, but {_places(bad)} hold NaN or infinity: leave them out, or fix "
                "what made them"
            )
    constant = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
    if constant.size:
        raise CalibrationFileError(
            f"{path}: {_places(constant)} are constant, every value the same: leave them out, they show nothing"
        )
    if len(flat) > 1 and (flat == flat[0]).all():
        raise CalibrationFileError(f"{path}: all {len(flat)} images of x are the same: give different ones")


def _places(indices: np.ndarray) -> str:
    some = ", ".join(map(str, indices[:NAMED].tolist()))
    return f"{len(indices)} image(s) of x (at {some}{', …' if len(indices) > NAMED else ''})"


def _labels(path: Path, y: np.ndarray | None, images: int, classes: int | None) -> npt.NDArray[np.int64] | None:
    if y is None:
        return None
    if y.dtype.kind not in "iu":
        hint = (
            ": convert it, y.astype('int64')" if y.dtype.kind in "fb" and (y == np.floor(y.astype(float))).all() else ""
        )
        raise CalibrationFileError(f"{path}: y must hold class numbers as integers, not {y.dtype}{hint}")
    if y.shape != (images,):
        hint = ": flatten it, y.reshape(-1)" if y.size == images else ""
        raise CalibrationFileError(
            f"{path}: y must have the shape ({images},), one label for each image, not {y.shape}{hint}"
        )
    lowest, highest = int(y.min()), int(y.max())
    if lowest < 0 or (classes is not None and highest >= classes):
        bound = "0 or more" if classes is None else f"within [0, {classes - 1}], the model's classes"
        raise CalibrationFileError(f"{path}: y must be {bound}, not {lowest} to {highest}")
    return y.astype(np.int64)


def _numbers(path: Path, name: str, values: np.ndarray | None, channels: int) -> tuple[float, ...] | None:
    """Return one finite number per channel, or None if none are given."""
    if values is None:
        return None
    if values.dtype.kind not in "iuf" or values.size not in (1, channels) or not np.isfinite(values).all():
        count = "1 finite number" if channels == 1 else f"1 or {channels} finite numbers, one per channel"
        raise CalibrationFileError(f"{path}: {name} must be {count}, not {values.tolist()}")
    return tuple(np.broadcast_to(values.reshape(-1).astype(float), (channels,)).tolist())


def _spanning(x: np.ndarray) -> PixelMap:
    """Return the map whose 256 pixel values span the values of x (N, C, H, W)."""
    channels = x.shape[1]
    lowest, highest = x.min(axis=(0, 2, 3)).astype(float), x.max(axis=(0, 2, 3)).astype(float)
    if lowest.min() >= 0 and highest.max() <= 1:
        lowest, highest = np.zeros(channels), np.ones(channels)
    elif lowest.min() >= 0 and highest.max() <= 255 and (x == np.rint(x)).all():
        lowest, highest = np.zeros(channels), np.full(channels, 255.0)
    highest = np.where(highest > lowest, highest, lowest + 1)
    with np.errstate(over="ignore", invalid="ignore"):  # refused as not finite
        std = 1 / (highest - lowest)
        mean = -lowest * std
    return PixelMap(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def _float_images(path: Path, x: np.ndarray, pixels: PixelMap, notes: list[str]) -> npt.NDArray[np.uint8]:
    exact = pixels.exact_pixels(x)
    if exact.min() < -1 or exact.max() > 256:
        raise CalibrationFileError(
            f"{path}: x reaches from {x.min():g} to {x.max():g}, but with the mean, std and scale given, pixels of "
            f"0 to 255 would have to reach from {exact.min():.0f} to {exact.max():.0f}: give those that x was "
            "normalised with, or none to span the values found"
        )
    images = pixels.to_pixels(x)
    error = float(np.abs(exact - images.transpose(0, 3, 1, 2)).max())
    notes.append(
        f"float images were mapped to pixels: input = (pixel·{pixels.scale:.6g} − mean) / std with "
        f"mean {listed(pixels.mean)}, std {listed(pixels.std)}; the largest rounding is {error:.2f} of a pixel step"
    )
    return images
