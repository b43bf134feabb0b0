"""Draw networks: chains of ordinary blocks with residuals, branches and odd sizes, random or extreme weights."""

from __future__ import annotations

import random
from collections.abc import Callable

from fuzz.network import IMAGE, STYLES, InvalidNetworkError, Network, Numbers, Shape, Step

MAX_CHANNELS = 40
MAX_ELEMENTS = 6000  # of one map
NO_PADS = (0, 0, 0, 0)


def draw_network(rng: random.Random, sub_row: int, image_channels: int) -> Network:
    """Return a network of up to about twenty steps.

    Args:
        rng: the only source of random numbers.
        sub_row: channels of an engine word; some layers are wide enough for patterns of this length.
        image_channels: maximum number of channels of the image.
    """
    return _Drawing(rng, sub_row, image_channels).network()


class _Drawing:
    """A network that grows at its end. A block that does not fit is dropped."""

    def __init__(self, rng: random.Random, sub_row: int, image_channels: int) -> None:
        self.rng = rng
        self.image_channels = image_channels
        self.sub_row = sub_row
        self.seed = rng.randrange(1 << 30)
        self.shape = self._image()
        self.steps: list[Step] = []
        self.shapes: dict[str, Shape] = {IMAGE: self.shape}
        self.end = IMAGE
        # share of layers with unusual weights: 0 in most networks
        self.strange = rng.choice([0.0, 0.0, 0.0, 0.15, 0.15, 0.5])

    def network(self) -> Network:
        blocks: list[Callable[[], None]] = [self._stem]
        kinds = [self._plain, self._residual, self._pooled, self._branches, self._separable, self._sum, self._padded]
        weights = [6, 3, 2, 2, 2, 1, 1]
        blocks += self.rng.choices(kinds, weights, k=self.rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 5]))
        for block in [*blocks, self._head]:
            before = len(self.steps), self.end
            try:
                block()
            except InvalidNetworkError:
                for step in self.steps[before[0] :]:
                    del self.shapes[step.name]
                del self.steps[before[0] :]
                self.end = before[1]
        if not self.steps:
            self._conv((1, 1), outputs=2)
        return Network(self.seed, self.shape, tuple(self.steps)).without_unread()

    def _image(self) -> Shape:
        sizes = [1, 2, 3, *range(4, 15), *range(4, 15), 20]
        height = self.rng.choice(sizes)
        width = height if self.rng.random() < 0.5 else self.rng.choice(sizes)
        channels = self.rng.choice([1, 1, 2, 3, 3, 3, 4, 5, self.sub_row + 1])
        return min(channels, self.image_channels), height, width

    # ---- steps ----------------------------------------------------------------------------

    def _add(self, kind: str, numbers: Numbers | None = None, *inputs: str, styled: bool = False) -> str:
        style = self.rng.choice(STYLES) if styled and self.rng.random() < self.strange else "normal"
        step = Step(f"{kind}{len(self.steps)}", kind, inputs or (self.end,), numbers or {}, style)
        shapes = Network(self.seed, self.shape, (*self.steps, step)).shapes()
        if shapes[step.name][0] > 8 * MAX_CHANNELS or _elements(shapes[step.name]) > MAX_ELEMENTS:
            raise InvalidNetworkError("too large")
        self.steps.append(step)
        self.shapes[step.name] = shapes[step.name]
        self.end = step.name
        return step.name

    def _conv(
        self,
        kernel: tuple[int, int],
        *,
        outputs: int,
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, ...] = NO_PADS,
        dilations: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> str:
        numbers = {
            "outputs": (outputs,), "kernel": kernel, "strides": strides, "pads": pads, "dilations": dilations,
            "groups": (groups,),
        }  # fmt: skip
        return self._add("conv", numbers, styled=True)

    def _norm_and_relu(self) -> None:
        if self.rng.random() < 0.4:
            self._add("batch_norm", styled=True)
        kind = self.rng.choice(["relu", "relu", "relu6", ""])
        if kind:
            self._add(kind)

    def _channels(self) -> int:
        wide = [self.sub_row, 2 * self.sub_row, self.sub_row + 3]
        drawn: int = self.rng.choice([*range(1, 17), *wide, *wide])
        return min(drawn, MAX_CHANNELS)

    def _window(self, limit: int = 5) -> tuple[int, int]:
        side = self.rng.choice([1, 2, 3, 3, 3, limit])
        return (side, side) if self.rng.random() < 0.7 else (side, self.rng.randint(1, limit))

    def _pads(self, kernel: tuple[int, int], dilations: tuple[int, int] = (1, 1)) -> tuple[int, ...]:
        most = [dilations[axis] * (kernel[axis] - 1) for axis in (0, 1)]
        if self.rng.random() < 0.5:
            return (most[0] // 2, most[1] // 2, most[0] - most[0] // 2, most[1] - most[1] // 2)
        return tuple(self.rng.randint(0, most[i % 2]) for i in range(4))

    # ---- blocks ---------------------------------------------------------------------------

    def _stem(self) -> None:
        if self.rng.random() < 0.1:  # no convolution reads the image
            return
        kernel = self._window()
        strides = self.rng.choice([(1, 1), (1, 1), (2, 2), (2, 1)])
        self._conv(kernel, outputs=self._channels(), strides=strides, pads=self._pads(kernel))
        self._norm_and_relu()

    def _plain(self) -> None:
        draw = self.rng.random()
        if draw < 0.5:  # a convolution that tiles and patterns support
            self._conv((3, 3), outputs=self._channels(), pads=self._pads((3, 3)))
        else:
            kernel = self._window()
            dilations = self.rng.choice([(1, 1), (1, 1), (1, 1), (2, 2), (1, 3)])
            strides = self.rng.choice([(1, 1), (1, 1), (2, 2), (1, 2), (3, 3)])
            channels, outputs = self.shapes[self.end][0], self._channels()
            groups = self.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]) if draw > 0.8 else 1
            outputs = -(-outputs // groups) * groups
            pads = self._pads(kernel, dilations)
            self._conv(kernel, outputs=outputs, strides=strides, pads=pads, dilations=dilations, groups=groups)
        self._norm_and_relu()

    def _separable(self) -> None:
        channels = self.shapes[self.end][0]
        multiplier = self.rng.choice([1, 1, 1, 2])
        strides = self.rng.choice([(1, 1), (2, 2)])
        self._conv((3, 3), outputs=multiplier * channels, strides=strides, pads=self._pads((3, 3)), groups=channels)
        self._norm_and_relu()
        self._conv((1, 1), outputs=self._channels())
        self._norm_and_relu()

    def _residual(self) -> None:
        start = self.end
        channels = self.shapes[start][0]
        if len(self.shapes[start]) != 3:
            raise InvalidNetworkError("a residual needs a map")
        strides, outputs = (1, 1), channels
        if self.rng.random() < 0.3:
            strides, outputs = self.rng.choice([(2, 2), (1, 1)]), self._channels()
            self._conv((1, 1), outputs=outputs, strides=strides)
        shortcut, self.end = self.end, start
        self._conv((3, 3), outputs=self._channels(), strides=strides, pads=(1, 1, 1, 1))
        self._norm_and_relu()
        body = self._conv((3, 3), outputs=outputs, pads=(1, 1, 1, 1))
        if self.rng.random() < 0.5:
            body = self._add("batch_norm", styled=True)
        self._add("add", {}, *self.rng.sample([body, shortcut], 2))
        if self.rng.random() < 0.7:
            self._add(self.rng.choice(["relu", "relu6"]))

    def _branches(self) -> None:
        start, ends = self.end, []
        for _ in range(self.rng.choice([2, 2, 3])):
            self.end = start
            draw = self.rng.random()
            if draw < 0.2:
                windows = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "ceil": (0,)}
                self._add("max_pool", windows)
            elif draw < 0.9:
                side = self.rng.choice([1, 3])
                self._conv((side, side), outputs=self._channels(), pads=(side // 2,) * 4)
                self._norm_and_relu()
            ends.append(self.end)
        self._add("concat", {}, *ends)

    def _sum(self) -> None:
        """Add an earlier tensor of the same shape."""
        others = [name for name, shape in self.shapes.items() if shape == self.shapes[self.end] and name != self.end]
        if not others:
            raise InvalidNetworkError("there is nothing to add")
        self._add("add", {}, self.end, self.rng.choice(others))

    def _pooled(self) -> None:
        kernel = self._window(3)
        strides = self.rng.choice([kernel, kernel, (1, 1), (2, 2)])
        ceil = self.rng.choice([0, 0, 1])
        if self.rng.random() < 0.6:
            pads = tuple(self.rng.choice([0, 0, kernel[i % 2] // 2]) for i in range(4))
            self._add("max_pool", {"kernel": kernel, "strides": strides, "pads": pads, "ceil": (ceil,)})
        else:
            pads = self.rng.choice([NO_PADS, NO_PADS, (kernel[0] // 2, kernel[1] // 2) * 2])
            counted = self.rng.choice([0, 1])
            numbers = {"kernel": kernel, "strides": strides, "pads": pads, "ceil": (ceil,), "count_pads": (counted,)}
            self._add("avg_pool", numbers)

    def _padded(self) -> None:
        self._add("pad", {"pads": tuple(self.rng.choice([0, 1, 2]) for _ in range(4))})

    def _head(self) -> None:
        if self.rng.random() < 0.08:  # every number of the map is a class
            self._conv((1, 1), outputs=self.rng.randint(1, 6))
            if _elements(self.shapes[self.end]) > 200:
                raise InvalidNetworkError("too many classes")
            return
        if len(self.shapes[self.end]) == 3:
            elements = _elements(self.shapes[self.end])
            if elements > 600 or self.rng.random() < 0.5:
                self._add(self.rng.choice(["global_avg", "global_avg", "global_max"]))
            self._add("flatten")
        for _ in range(self.rng.choice([0, 0, 1])):
            self._add("linear", {"outputs": (self._channels(),)}, styled=True)
            self._norm_and_relu()
        self._add("linear", {"outputs": (self.rng.choice([1, 2, 2, 3, 4, 7, 10, 33]),)}, styled=True)


def _elements(shape: Shape) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
