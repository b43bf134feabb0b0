"""Where a tensor lies: in the banks, in the result memory, or in external memory (PROGRAM.md).

On the chip, lane p holds image p of the pass, at the same addresses as all other lanes (image layout). In a striped
program all lanes hold rows of one image (`Stripes`), again at the same addresses, or lane 0 holds it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from toolflow.engine.config import EngineConfig


class Region(NamedTuple):
    """A rectangle of an output map, in positions: whole rows, or a part of one column."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class BankPlace:
    """A map inside the banks.

    Attributes:
        base: word of the map's first pixel.
        height, width: of the map.
        pixel_words: words from a pixel to the next (a concat's operands share their pixels' words).
        words: words of a pixel that belong to this map.
        channel: element of each channel, counted from the pixel's first word of this map.
    """

    base: int
    height: int
    width: int
    pixel_words: int
    words: int
    channel: tuple[int, ...]

    @property
    def row_words(self) -> int:
        """Words from a row to the next."""
        return self.width * self.pixel_words

    @property
    def held_words(self) -> int:
        """Words that belong to this map."""
        return self.height * self.width * self.words

    @property
    def end(self) -> int:
        """The word after the map's last one."""
        return self.base + self.height * self.row_words - self.pixel_words + self.words

    def rows(self, first: int, count: int) -> BankPlace:
        """Return the place of `count` rows of the map, from row `first` on."""
        return replace(self, base=self.base + first * self.row_words, height=count)

    @property
    def contiguous(self) -> bool:
        """Whether channel c is element c."""
        return self.channel == tuple(range(len(self.channel)))


@dataclass(frozen=True)
class Stripes:
    """Which rows of one image's map lie in each lane: row j of a place in lane p is row p · `rows` + j − `above`.

    A lane's own rows are those that no lane before it owns; rows of its place above and below are its halo.

    Attributes:
        height: rows of the whole map.
        rows: R, from a lane to the next.
        above: T, rows of the place above the lane's own ones, 0 … 255.
    """

    height: int
    rows: int
    above: int = 0

    def from_row(self, first: int) -> Stripes:
        """Return the stripes of a place that begins with row `first` of this one, which lane 0 has in the map."""
        beyond = max(first - self.above, 0)  # rows of lane 0 that are left out: the same window without them
        return Stripes(self.height - beyond, self.rows, max(self.above - first, 0))

    def window(self, lane: int, count: int) -> tuple[int, int]:
        """Return which of the first `count` rows of a place lie in the map: the first, and the one after the last."""
        first = max(self.above - lane * self.rows, 0)
        return first, max(min(self.height + self.above - lane * self.rows, count), first)

    def held(self, count: int, lanes: int) -> int:
        """Return how many of the first `count` rows of a place lie in the map, in all lanes."""
        windows = (self.window(lane, count) for lane in range(lanes))
        return sum(end - first for first, end in windows)

    def row_of_map(self, lane: int, row: int, height: int) -> int:
        """Return which row of a map of so many rows is a row of the place in a lane."""
        return lane * self.rows + row - self.above + height - self.height

    def rows_of_map(self, first: int, count: int) -> int:
        """Return how many rows of the map all lanes together hold as rows `first` … of `count` own ones."""
        return sum(first <= row % self.rows < first + count for row in range(self.height))


@dataclass(frozen=True)
class ResultPlace:
    """In the result memory: the values of a map (C, H, W) of one image, channels last, from value `first` on."""

    channels: int
    height: int
    width: int
    first: int = 0

    def rows(self, first: int, count: int) -> ResultPlace:
        """Return the place of `count` rows of the map, from row `first` on."""
        return replace(self, height=count, first=self.first + first * self.width * self.channels)

    @property
    def values(self) -> int:
        """Values of one image."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class ExternalPlace:
    """One item for each image in external memory.

    Image i's item begins `offset_bytes` + i · `pitch_bytes` behind the address of the images (of a load), or behind
    that of the results (of a store). The map of the image in lane i begins as many bytes behind the address of the maps
    (of a fill or a spill).
    """

    offset_bytes: int
    pitch_bytes: int


@dataclass(frozen=True)
class ImageFormat:
    """How an image lies in external memory: rows of pixels of `pixel_bytes` bytes, channels first.

    Attributes:
        channels, height, width: of the image.
        pixel_bytes: bytes from a pixel to the next.
        words: bank words into which a pixel is cut.
    """

    channels: int
    height: int
    width: int
    pixel_bytes: int
    words: int

    @property
    def bytes(self) -> int:
        """Bytes of an image, without what rounds it up to a beat."""
        return self.height * self.width * self.pixel_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes from a row to the next."""
        return self.width * self.pixel_bytes

    @property
    def slice_bytes(self) -> int:
        """Bytes of a pixel that fill one bank word."""
        return self.pixel_bytes // self.words

    def digit_step(self, digits: int, sub_row: int) -> int:
        """Return the elements from one digit of a pixel to the next in words of `sub_row` elements."""
        return digit_step(self.slice_bytes, self.words, digits, sub_row)

    def words_of(self, digits: int, sub_row: int) -> int:
        """Return the bank words of a pixel whose elements are cut into so many digits."""
        return -(-digits * self.digit_step(digits, sub_row) // sub_row)


def digit_step(slice_elements: int, words: int, digits: int, sub_row: int) -> int:
    """Return the elements from one digit of a pixel to the next: digits share a word if it holds all of them.

    Args:
        slice_elements: elements of a word that a digit fills.
        words: words that a digit fills.
        digits: into which every element is cut.
        sub_row: S, elements of a word.
    """
    return slice_elements if words == 1 < digits and digits * slice_elements <= sub_row else words * sub_row


def map_row_bytes(place: BankPlace, config: EngineConfig) -> int:
    """Return the bytes of a row of a map in external memory: the words of its pixels without a gap, in whole beats."""
    return align(place.width * place.words * config.sub_row, config.bus_bytes)


def align(count: int, unit: int) -> int:
    """Return the least multiple of `unit` that is no less than `count`."""
    return count + -count % unit
