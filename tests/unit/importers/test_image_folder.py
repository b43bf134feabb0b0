"""Folders of images: classes, sizes, orientation, and one clear message for what is no image."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from toolflow.importers.images.calibration_file import image_shape, load_calibration_file
from toolflow.importers.images.folder import ImageFolderError, read_folder

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 4, 3), dtype=np.uint8)


def write(folder: Path, images: npt.NDArray[np.uint8], names: list[str]) -> Path:
    for name, image in zip(names, images, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def by_class(*classes: str) -> list[str]:
    return [f"{classes[index % len(classes)]}/{index:03}.png" for index in range(40)]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    folder = write(tmp_path, PIXELS, by_class("rose", "daisy"))
    (folder / ".DS_Store").write_bytes(b"no image")
    found = load_calibration_file(folder, input_shape=(3, 6, 4), classes=2)
    assert (found.images == np.concatenate([PIXELS[1::2], PIXELS[::2]])).all()
    assert found.labels is not None
    assert found.labels.tolist() == [0] * 20 + [1] * 20
    assert found.notes[0] == f"classes are the subfolders of {folder}: 0 = daisy, 1 = rose"
    assert image_shape(folder) == (3, 6, 4)


def test_names_that_are_numbers_are_the_classes(tmp_path: Path) -> None:
    folder = write(tmp_path, PIXELS, by_class("10", "2"))
    labels = read_folder(folder).labels
    assert labels is not None
    assert set(labels.tolist()) == {2, 10}


def test_images_without_classes_have_no_labels(tmp_path: Path) -> None:
    folder = write(tmp_path, PIXELS, [f"{index:03}.png" for index in range(40)])
    found = read_folder(folder, (3, 6, 4))
    assert found.labels is None
    assert (found.images == PIXELS).all()
    assert found.notes == ()


def test_other_sizes_cover_the_input_and_grey_is_one_channel(tmp_path: Path) -> None:
    wide = np.zeros((2, 10, 40, 3), dtype=np.uint8)
    wide[:, :, 15:25] = 200  # the middle square
    found = read_folder(write(tmp_path, wide, ["a.png", "b.png"]), (1, 5, 5))
    assert found.images.shape == (2, 5, 5, 1)
    assert (found.images[:, 1:-1, 1:-1] == 200).all()
    assert found.notes == (
        "2 of 2 images were scaled to cover 5 × 5 pixels and cut at the centre; if training did it in another way, "
        "prepare them yourself",
    )


def test_a_jpeg_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    turned = Image.new("RGB", (8, 4), (255, 0, 0))
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright
    turned.save(tmp_path / "a.jpg", exif=exif)
    assert image_shape(tmp_path) == (3, 8, 4)


def test_what_is_no_image_is_named_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path, PIXELS, by_class("rose", "daisy"))
    (folder / "rose" / "labels.txt").write_text("1")
    whole = (folder / "rose" / "000.png").read_bytes()
    (folder / "rose" / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((6, 4), dtype=np.uint16)).save(folder / "daisy" / "deep.png")
    (folder / "daisy" / "inner").mkdir()
    with pytest.raises(ImageFolderError) as error:
        load_calibration_file(folder, input_shape=(3, 6, 4))
    assert re.fullmatch(
        re.escape(f"{folder} must hold JPEG or PNG images only, but 4 files cannot be read as one: daisy/deep.png ")
        + re.escape("(more than 8 bits a value), daisy/inner (a folder inside a class), rose/cut.png (")
        + ".*"
        + re.escape("), rose/labels.txt (no JPEG or PNG): remove them"),
        str(error.value),
    )


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "{0} is empty: it must hold JPEG or PNG files, or a subfolder for each class"),
        (
            ["a.png", "rose/b.png"],
            "{0} must hold either images or a subfolder for each class, not both: a.png lie beside rose",
        ),
    ],
)
def test_a_folder_of_another_form_is_refused(tmp_path: Path, names: list[str], problem: str) -> None:
    folder = write(tmp_path, PIXELS[: len(names)], names)
    with pytest.raises(ImageFolderError, match=re.escape(problem.format(folder))):
        read_folder(folder)


def test_an_empty_class_and_four_channels_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, PIXELS, by_class("rose"))
    with pytest.raises(ImageFolderError, match=r"have 1 or 3 channels, but the model takes 4: give an \.npz"):
        read_folder(folder, (4, 6, 4))
    (folder / "tulip").mkdir()
    with pytest.raises(ImageFolderError, match="tulip must hold images of its class, but is empty"):
        read_folder(folder)
