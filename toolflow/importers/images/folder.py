"""A folder of JPEG and PNG files as a calibration file: images, and labels if each class has a subfolder.

    flowers/daisy/1.jpg  flowers/daisy/2.png  flowers/rose/1.jpg      classes 0 (daisy) and 1 (rose)

Classes are numbered in the order of their names; names that are whole numbers are the classes' own numbers. Files and
folders whose names begin with a dot are left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from toolflow.ir.errors import ToolflowError
from toolflow.ir.operator import Shape

FORMATS = ("JPEG", "PNG")
_MODES = {1: "L", 3: "RGB"}  # of Pillow, by the model's channels
_DEEP = ("I", "F")  # modes of more than 8 bits begin so
_NAMED = 5


class ImageFolderError(ToolflowError):
    """A folder of images that cannot be used."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder.

    Attributes:
        images: uint8 (N, H, W, C), by class and name.
        labels: int64 (N,), or None if the images lie in the folder itself.
        notes: what the classes are, and how many images were resized, in sentences.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    notes: tuple[str, ...]


def read_folder(folder: Path, input_shape: Shape | None = None) -> ImageFolder:
    """Read the images of a folder.

    An image of another size is scaled until it covers the model's input, and cut at the centre.

    Args:
        folder: of images, or of a subfolder of images for each class.
        input_shape: (C, H, W) that the model takes; None for the first image's.

    Raises:
        ImageFolderError: the folder holds no images, or something else; names the files.
    """
    classes, files = _listed(folder)
    channels, height, width = folder_shape(folder) if input_shape is None else input_shape
    if channels not in _MODES:
        raise ImageFolderError(
            f"{folder}: images of JPEG and PNG files have 1 or 3 channels, but the model takes {channels}: give an .npz"
        )
    _require_memory(folder, len(files), channels * height * width)
    images = np.empty((len(files), height, width, channels), dtype=np.uint8)
    wrong: list[str] = []
    resized = 0
    for index, (path, _) in enumerate(files):
        try:
            with _opened(path) as image:
                upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
                if upright.size != (width, height):
                    upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
                    resized += 1
                images[index] = np.asarray(upright).reshape(height, width, channels)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            wrong.append(f"{path.relative_to(folder)} ({error})")
    if wrong:
        raise ImageFolderError(_refusal(folder, wrong))
    notes = []
    if classes:
        named = any(name != str(number) for name, number in classes.items())
        numbered = [f"{number} = {name}" if named else name for name, number in classes.items()]
        more = "" if len(numbered) <= _NAMED else f" and {len(numbered) - _NAMED} more"
        notes.append(f"classes are the subfolders of {folder}: {', '.join(numbered[:_NAMED])}{more}")
    if resized:
        notes.append(
            f"{resized:,} of {len(files):,} images were scaled to cover {height} × {width} pixels and cut at the "
            "centre; if training did it in another way, prepare them yourself"
        )
    labels = np.array([number for _, number in files], dtype=np.int64) if classes else None
    return ImageFolder(images, labels, tuple(notes))


def folder_shape(folder: Path) -> Shape:
    """Return the shape (C, H, W) of a folder's first image.

    Raises:
        ImageFolderError: it holds no images, or the first one cannot be read.
    """
    _, files = _listed(folder)
    try:
        with _opened(files[0][0]) as image:
            width, height = ImageOps.exif_transpose(image).size
            return (1 if image.mode in ("1", "L") else 3), height, width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageFolderError(_refusal(folder, [f"{files[0][0].relative_to(folder)} ({error})"])) from error


def _listed(folder: Path) -> tuple[dict[str, int], list[tuple[Path, int]]]:
    """Return the classes' numbers by name, empty if there are no subfolders, and every file with its class."""
    entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    subfolders = [path for path in entries if path.is_dir()]
    loose = [path for path in entries if not path.is_dir()]
    if not entries:
        raise ImageFolderError(f"{folder} is empty: it must hold JPEG or PNG files, or a subfolder for each class")
    if subfolders and loose:
        raise ImageFolderError(
            f"{folder} must hold either images or a subfolder for each class, not both: "
            f"{_some([path.name for path in loose])} lie beside {_some([path.name for path in subfolders])}"
        )
    if not subfolders:
        return {}, [(path, 0) for path in loose]
    classes = _numbered([path.name for path in subfolders])
    files: list[tuple[Path, int]] = []
    for subfolder in subfolders:
        inside = [path for path in sorted(subfolder.iterdir()) if not path.name.startswith(".")]
        if not inside:
            raise ImageFolderError(f"{subfolder} must hold images of its class, but is empty: add some, or remove it")
        files += [(path, classes[subfolder.name]) for path in inside]
    return classes, files


def _numbered(names: Sequence[str]) -> dict[str, int]:
    if all(name.isdecimal() for name in names) and len({int(name) for name in names}) == len(names):
        return {name: int(name) for name in sorted(names, key=int)}
    return {name: number for number, name in enumerate(names)}


def _opened(path: Path) -> Image.Image:
    """Open an image of 8 bits a value.

    Raises:
        OSError, ValueError: it is none.
    """
    if path.is_dir():
        raise ValueError("a folder inside a class")
    try:
        image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("no JPEG or PNG") from None
    if image.mode.startswith(_DEEP):
        image.close()
        raise ValueError("more than 8 bits a value")
    return image


def _require_memory(folder: Path, images: int, values: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if images * values > memory // 2:
        raise ImageFolderError(
            f"{folder}: {images:,} images of {values:,} bytes must take at most half of this machine's memory of "
            f"{memory / (1 << 30):.3g} GiB: give fewer images"
        )


def _refusal(folder: Path, wrong: Sequence[str]) -> str:
    count = "1 file" if len(wrong) == 1 else f"{len(wrong):,} files"
    return f"{folder} must hold JPEG or PNG images only, but {count} cannot be read as one: {_some(wrong)}: remove them"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
