"""ResNet-20 for CIFAR-10 (He et al. 2015, section 4.2), with the parameterless shortcut."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut; the shortcut sub-samples and pads the channels with zeros."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.zero_channels = (outputs - channels) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, outputs, H / stride, W / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            x = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.zero_channels, self.zero_channels)
            )
        return functional.relu(y + x)


class CifarResNet(nn.Module):
    """Three stages of `blocks` blocks with 16, 32 and 64 channels; 6·blocks + 2 layers."""

    input_shape = (3, 32, 32)

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1, blocks)
        self.layer2 = self._stage(16, 32, 2, blocks)
        self.layer3 = self._stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(channels: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
        first = Block(channels, outputs, stride)
        return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(blocks - 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 32, 32) to logits (N, 10)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.linear(x.mean((2, 3)))
        return logits


def resnet20() -> CifarResNet:
    """Return ResNet-20 (0.27 million parameters), not trained."""
    return CifarResNet(3)


def resnet56() -> CifarResNet:
    """Return ResNet-56, not trained."""
    return CifarResNet(9)
