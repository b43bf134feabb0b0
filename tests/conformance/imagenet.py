"""Networks for images of 224 × 224 with seeded integers, in the shapes that their papers give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.conformance.casebook import RESULT, NetworkBuilder
from toolflow.ir.quantised import QuantisedGraph
from toolflow.numerics.types import IntegerType
from toolflow.operators.avg_pool.spec import AvgPool
from toolflow.operators.max_pool.spec import MaxPool

BYTE = IntegerType(8, signed=False)
CLASSES = 1000
Pads = tuple[int, int, int, int]


def _around(pixels: int) -> Pads:
    return pixels, pixels, pixels, pixels


def vgg16(side: int = 224, classes: int = CLASSES, hidden: int = 4096) -> QuantisedGraph:
    """Return VGG-16 (configuration D)."""
    b, map_ = NetworkBuilder((3, side, side), seed=1), "image"
    for block, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for number in range(1, count + 1):
            map_ = b.conv(f"conv{block}_{number}", map_, width, pads=_around(1), out=BYTE)
        map_ = b.max_pool(f"pool{block}", map_, MaxPool((2, 2), (2, 2)))
    map_ = b.linear("fc6", b.flatten("flat", map_), hidden, out=BYTE)
    map_ = b.linear("fc7", map_, hidden, out=BYTE)
    return b.build(b.linear("fc8", map_, classes, out=RESULT))


def resnet18(side: int = 224, classes: int = CLASSES) -> QuantisedGraph:
    """Return ResNet-18."""
    return resnet(18, side, classes)


def resnet50(side: int = 224, classes: int = CLASSES) -> QuantisedGraph:
    """Return ResNet-50, whose bottlenecks take their stride in the 3 × 3 convolution."""
    return resnet(50, side, classes)


def resnet(layers: int, side: int = 224, classes: int = CLASSES) -> QuantisedGraph:
    """Return ResNet-18, -34, -50, -101 or -152 (He et al. 2016, table 1)."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    return _resnet(blocks[layers], side, classes, bottleneck=layers >= 50)


def _resnet(blocks: Sequence[int], side: int, classes: int, bottleneck: bool) -> QuantisedGraph:
    b = NetworkBuilder((3, side, side), seed=2)
    map_ = b.conv("stem", "image", 64, 7, stride=(2, 2), pads=_around(3), out=BYTE)
    map_ = b.max_pool("pool", map_, MaxPool((3, 3), (2, 2), _around(1)))
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for block in range(count):
            stride = (2, 2) if stage and not block else (1, 1)
            map_ = _block(b, f"layer{stage + 1}.{block}", map_, width, stride, bottleneck)
    last = b.shapes[map_][1]
    mean = b.avg_pool("mean", map_, AvgPool((last, last), (1, 1)), BYTE, alike=True)
    return b.build(b.linear("fc", b.flatten("flat", mean), classes, out=RESULT))


def _block(b: NetworkBuilder, name: str, source: str, width: int, stride: tuple[int, int], bottleneck: bool) -> str:
    """Add a residual block, with a projection where the shape changes."""
    channels, shortcut = width * 4 if bottleneck else width, source
    if b.shapes[source][0] != channels or stride != (1, 1):
        shortcut = b.conv(f"{name}.down", source, channels, 1, stride=stride, out=BYTE)
    if not bottleneck:
        first = b.conv(f"{name}.conv1", source, width, stride=stride, pads=_around(1), out=BYTE)
        return b.conv(f"{name}.conv2", first, width, pads=_around(1), residual=shortcut, out=BYTE)
    first = b.conv(f"{name}.conv1", source, width, 1, out=BYTE)
    second = b.conv(f"{name}.conv2", first, width, stride=stride, pads=_around(1), out=BYTE)
    return b.conv(f"{name}.conv3", second, channels, 1, residual=shortcut, out=BYTE)


def mobilenet_v2(side: int = 224, classes: int = CLASSES) -> QuantisedGraph:
    """Return MobileNet-v2."""
    b = NetworkBuilder((3, side, side), seed=3)
    map_ = b.conv("stem", "image", 32, stride=(2, 2), pads=_around(1), out=BYTE)
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    number = 0
    for expansion, width, count, first_stride in settings:
        for block in range(count):
            number += 1
            name, channels = f"block{number}", b.shapes[map_][0]
            stride = (first_stride, first_stride) if not block else (1, 1)
            inner = b.conv(f"{name}.expand", map_, channels * expansion, 1, out=BYTE) if expansion > 1 else map_
            depth = b.shapes[inner][0]
            inner = b.conv(f"{name}.depthwise", inner, depth, stride=stride, pads=_around(1), groups=depth, out=BYTE)
            residual = map_ if stride == (1, 1) and channels == width else None
            map_ = b.conv(f"{name}.project", inner, width, 1, residual=residual)
    map_ = b.conv("last", map_, 1280, 1, out=BYTE)
    final = b.shapes[map_][1]
    mean = b.avg_pool("mean", map_, AvgPool((final, final), (1, 1)), BYTE, alike=True)
    return b.build(b.linear("fc", b.flatten("flat", mean), classes, out=RESULT))


NETWORKS: Mapping[str, Callable[[], QuantisedGraph]] = {
    "VGG-16": vgg16,
    "ResNet-18": resnet18,
    "ResNet-50": resnet50,
    "MobileNet-v2": mobilenet_v2,
}
