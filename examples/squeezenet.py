"""SqueezeNet v1.0 for ImageNet (Iandola et al. 2016), for 227×227 images."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Fire(nn.Module):
    """A 1×1 convolution to few channels, then 1×1 and 3×3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, 2·expanded, H, W)."""
        x = functional.relu(self.squeeze1x1(x))
        return torch.cat([functional.relu(self.expand1x1(x)), functional.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """7×7 stem, eight fire modules, a 1×1 convolution to the classes and their mean over the map."""

    input_shape = (3, 227, 227)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, 2)
        self.fire2 = Fire(96, 16, 64)
        self.fire3 = Fire(128, 16, 64)
        self.fire4 = Fire(128, 32, 128)
        self.fire5 = Fire(256, 32, 128)
        self.fire6 = Fire(256, 48, 192)
        self.fire7 = Fire(384, 48, 192)
        self.fire8 = Fire(384, 64, 256)
        self.fire9 = Fire(512, 64, 256)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.dropout = nn.Dropout()
        self.conv10 = nn.Conv2d(512, 1000, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 227, 227) to logits (N, 1000)."""
        x = self.pool(functional.relu(self.conv1(x)))
        x = self.pool(self.fire4(self.fire3(self.fire2(x))))
        x = self.pool(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        x = functional.relu(self.conv10(self.dropout(self.fire9(x))))
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


def squeezenet() -> SqueezeNet:
    """Return SqueezeNet v1.0, not trained."""
    return SqueezeNet()
