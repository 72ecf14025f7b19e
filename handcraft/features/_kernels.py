"""The hot loops of detecting, adapting and describing regions; the callers validate and allocate.

Images are (h, w) float32; a place is x and y in pixels, the centre of the top-left pixel at 0, 0.
"""

from __future__ import annotations

import math

import numpy as np

from handcraft.compilation import kernel

BINS = 4  # spatial bins of a SIFT descriptor along each side
ORIENTATIONS = 8


@kernel
def hessian_response(image, factor, response):
    """The determinant of the Hessian by central differences, times `factor` (σ⁴ to normalise it).

    Written: response (h, w) float32, but for its border of one pixel.
    """
    two, quarter, factor = np.float32(2), np.float32(0.25), np.float32(factor)
    for y in range(1, image.shape[0] - 1):
        for x in range(1, image.shape[1] - 1):
            middle = two * image[y, x]
            xx = image[y, x - 1] - middle + image[y, x + 1]
            yy = image[y - 1, x] - middle + image[y + 1, x]
            down = image[y + 1, x + 1] - image[y + 1, x - 1]
            up = image[y - 1, x + 1] - image[y - 1, x - 1]
            xy = quarter * (down - up)
            response[y, x] = factor * (xx * yy - xy * xy)


@kernel
def is_extremum(below, level, above, y, x):
    """Whether no neighbour in scale and space surpasses this response, upwards or downwards."""
    value = level[y, x]
    sign = np.float32(1) if value > 0 else np.float32(-1)
    for row in range(y - 1, y + 2):
        for column in range(x - 1, x + 2):
            most = max(sign * below[row, column], sign * level[row, column], sign * above[row, column])
            if most > sign * value:
                return False
    return True


@kernel
def find_extrema(below, level, above, threshold, border, pixels):
    """The local extrema of a level of responses in scale and space.

    below, level, above: responses of three neighbouring scales. threshold: least absolute response.
    Written: pixels (n, 2) int32, row and column, as many as there is room for; in scanning order.
    Returns how many there are.
    """
    found = 0
    for y in range(border, level.shape[0] - border):
        for x in range(border, level.shape[1] - border):
            if abs(level[y, x]) > threshold and is_extremum(below, level, above, y, x):
                if found < pixels.shape[0]:
                    pixels[found, 0] = y
                    pixels[found, 1] = x
                found += 1
    return found


@kernel
def fit_parabola(below, level, above, y, x, offsets):
    """Where the quadratic through the 27 responses around a pixel has its extremum (Brown & Lowe 2002).

    Written: offsets (5,) float64: in x, y and scale steps; the response there; and (r + 1)²/r of the
    ratio r of its curvatures in space, negative at a saddle. Returns whether there is an extremum.
    """
    value = level[y, x]
    xx = level[y, x - 1] - 2.0 * value + level[y, x + 1]
    yy = level[y - 1, x] - 2.0 * value + level[y + 1, x]
    ss = below[y, x] - 2.0 * value + above[y, x]
    xy = 0.25 * (level[y + 1, x + 1] - level[y + 1, x - 1] - level[y - 1, x + 1] + level[y - 1, x - 1])
    xs = 0.25 * (above[y, x + 1] - above[y, x - 1] - below[y, x + 1] + below[y, x - 1])
    ys = 0.25 * (above[y + 1, x] - above[y - 1, x] - below[y + 1, x] + below[y - 1, x])
    gx = 0.5 * (level[y, x + 1] - level[y, x - 1])
    gy = 0.5 * (level[y + 1, x] - level[y - 1, x])
    gs = 0.5 * (above[y, x] - below[y, x])
    cofactor_xx = yy * ss - ys * ys
    cofactor_xy = xs * ys - xy * ss
    cofactor_xs = xy * ys - xs * yy
    cofactor_ss = xx * yy - xy * xy
    determinant = xx * cofactor_xx + xy * cofactor_xy + xs * cofactor_xs
    if determinant == 0 or cofactor_ss == 0:
        return False
    cofactor_yy = xx * ss - xs * xs
    cofactor_ys = xy * xs - xx * ys
    offsets[0] = -(cofactor_xx * gx + cofactor_xy * gy + cofactor_xs * gs) / determinant
    offsets[1] = -(cofactor_xy * gx + cofactor_yy * gy + cofactor_ys * gs) / determinant
    offsets[2] = -(cofactor_xs * gx + cofactor_ys * gy + cofactor_ss * gs) / determinant
    offsets[3] = value + 0.5 * (gx * offsets[0] + gy * offsets[1] + gs * offsets[2])
    offsets[4] = (xx + yy) * (xx + yy) / cofactor_ss
    return True


@kernel
def refine_extrema(below, level, above, pixels, threshold, edge_limit, border, offsets, refined):
    """Move extrema to where quadratics through their neighbours have theirs, and drop the weak ones.

    pixels: (n, 2) int32. An extremum moves to the neighbouring pixel while its offset there exceeds 0.6,
    five times at most; one that leaves the image, is further than 1.5 from its pixel or scale, is not
    above `threshold`, or lies on an edge (edge_limit: largest (r + 1)²/r) is dropped.
    offsets: (5,) work space. Written: refined (n, 4) float64: x, y, scale steps and response.
    Returns how many are left.
    """
    height, width = level.shape
    kept = 0
    for place in range(pixels.shape[0]):
        y, x = pixels[place, 0], pixels[place, 1]
        inside = fit_parabola(below, level, above, y, x, offsets)
        for _ in range(5):
            step_x = int(offsets[0] > 0.6) - int(offsets[0] < -0.6)
            step_y = int(offsets[1] > 0.6) - int(offsets[1] < -0.6)
            if not inside or (step_x == 0 and step_y == 0):
                break
            x, y = x + step_x, y + step_y
            inside = border <= x < width - border and border <= y < height - border
            if inside:
                inside = fit_parabola(below, level, above, y, x, offsets)
        if not inside:
            continue
        if max(abs(offsets[0]), abs(offsets[1]), abs(offsets[2])) > 1.5:
            continue
        if abs(offsets[3]) <= threshold or not 0 < offsets[4] < edge_limit:
            continue
        refined[kept, 0] = x + offsets[0]
        refined[kept, 1] = y + offsets[1]
        refined[kept, 2] = offsets[2]
        refined[kept, 3] = offsets[3]
        kept += 1
    return kept


@kernel
def window_inside(image, x, y, a, b, c, d, half):
    """Whether a window that reaches so many of its pixels from its middle lies in the image: see
    sample_window."""
    reach_x, reach_y = (abs(a) + abs(b)) * half, (abs(c) + abs(d)) * half
    inside_x = x - reach_x >= 0 and x + reach_x < image.shape[1] - 1
    inside_y = y - reach_y >= 0 and y + reach_y < image.shape[0] - 1
    return inside_x and inside_y


@kernel
def sample_window(image, x, y, a, b, c, d, window):
    """Sample a square window (n, n) bilinearly: its pixel (i, j) from the middle comes from
    x + a·i + b·j, y + c·i + d·j. Beyond the image its border is repeated.
    """
    half = 0.5 * (window.shape[0] - 1)
    last_x, last_y = float(image.shape[1] - 1), float(image.shape[0] - 1)
    for j in range(window.shape[0]):
        start_x = x + b * (j - half) - a * half
        start_y = y + d * (j - half) - c * half
        for i in range(window.shape[1]):
            from_x = min(max(start_x + a * i, 0.0), last_x)
            from_y = min(max(start_y + c * i, 0.0), last_y)
            left = min(int(from_x), image.shape[1] - 2)
            top = min(int(from_y), image.shape[0] - 2)
            right_share = np.float32(from_x - left)
            low_share = np.float32(from_y - top)
            upper = image[top, left] + right_share * (image[top, left + 1] - image[top, left])
            lower = image[top + 1, left] + right_share * (image[top + 1, left + 1] - image[top + 1, left])
            window[j, i] = upper + low_share * (lower - upper)


@kernel
def second_moments(window, mask, moments):
    """The weighted second-moment matrix of a window's gradients: xx, xy, yy into moments (3,)."""
    xx, xy, yy = np.float32(0), np.float32(0), np.float32(0)
    for j in range(1, window.shape[0] - 1):
        for i in range(1, window.shape[1] - 1):
            gx = window[j, i + 1] - window[j, i - 1]
            gy = window[j + 1, i] - window[j - 1, i]
            xx += mask[j, i] * gx * gx
            xy += mask[j, i] * gx * gy
            yy += mask[j, i] * gy * gy
    moments[0], moments[1], moments[2] = xx, xy, yy


@kernel
def whiten(shape, moments):
    """Multiply a shape (2, 2) by the inverse square root of a second-moment matrix, its determinant made 1.

    Returns 1 − (small / large eigenvalue) of the matrix: 0 where the window is isotropic, 1 where it is
    not positive.
    """
    xx, xy, yy = moments[0], moments[1], moments[2]
    determinant = xx * yy - xy * xy
    if determinant <= 0:
        return 1.0
    half = 0.5 * (xx + yy)
    spread = math.sqrt(max(half * half - determinant, 0.0))
    if half <= spread:
        return 1.0
    root = math.sqrt(determinant)
    # The square root of M is (M + √|M| I) / √(tr M + 2 √|M|); its inverse is its adjugate over √|M|.
    scale = math.sqrt((xx + yy + 2 * root) * root)
    i_xx, i_xy, i_yy = (yy + root) / scale, -xy / scale, (xx + root) / scale
    for row in range(2):
        first, second = shape[row, 0], shape[row, 1]
        shape[row, 0] = first * i_xx + second * i_xy
        shape[row, 1] = first * i_xy + second * i_yy
    return 1 - (half - spread) / (half + spread)


@kernel
def axis_ratio(shape):
    """The ratio of the singular values of a (2, 2) matrix, at least 1."""
    squares = shape[0, 0] ** 2 + shape[0, 1] ** 2 + shape[1, 0] ** 2 + shape[1, 1] ** 2
    determinant = abs(shape[0, 0] * shape[1, 1] - shape[0, 1] * shape[1, 0])
    spread = math.sqrt(max(squares * squares - 4 * determinant * determinant, 0.0))
    return (squares + spread) / (2 * determinant) if determinant > 0 else np.inf


@kernel
def adapt_shapes(image, places, mask, iterations, convergence, largest_ratio, window, moments, shapes, kept):
    """Affine shape adaptation (Baumberg 2000; Mikolajczyk & Schmid 2004): the shape in which a region's
    second-moment matrix is isotropic.

    image: of the region's scale. places: (n, 3) float64, x, y and the step of the window's pixels. mask:
    (m, m) float32, the weights of the window. convergence: largest anisotropy, twice in a row, of a
    region that has converged. window (m, m) float32 and moments (3,) float64: work space.
    Written: shapes (n, 2, 2) float64 of determinant 1; kept (n,) bool, False where a region does not
    converge in so many iterations, becomes longer than largest_ratio, or leaves the image.
    """
    for place in range(places.shape[0]):
        x, y, step = places[place, 0], places[place, 1], places[place, 2]
        shape = shapes[place]
        shape[0, 0], shape[0, 1], shape[1, 0], shape[1, 1] = 1, 0, 0, 1
        kept[place] = False
        before = 1.0
        for _ in range(iterations):
            a, b, c, d = shape[0, 0] * step, shape[0, 1] * step, shape[1, 0] * step, shape[1, 1] * step
            if not window_inside(image, x, y, a, b, c, d, 0.5 * (window.shape[0] - 1)):
                break
            sample_window(image, x, y, a, b, c, d, window)
            second_moments(window, mask, moments)
            anisotropy = whiten(shape, moments)
            if anisotropy >= 1 or axis_ratio(shape) > largest_ratio:
                break
            if anisotropy < convergence and before < convergence:
                kept[place] = True
                break
            before = anisotropy


@kernel
def sample_patches(image, places, steps, rows, patches):
    """Sample a square patch around each place; beyond the image, of 2 x 2 pixels or more, its border is
    repeated.

    places: (n, 2) float64. steps: (n, 2, 2) float64, how far a step of one patch pixel goes in the image.
    rows: (n,) int64, where each patch goes. Written: patches (k, m, m) float32, these rows.
    """
    for place in range(places.shape[0]):
        step = steps[place]
        sample_window(
            image,
            places[place, 0],
            places[place, 1],
            step[0, 0],
            step[0, 1],
            step[1, 0],
            step[1, 1],
            patches[rows[place]],
        )


@kernel
def patch_gradients(patch, weights, magnitudes, angles):
    """The weighted magnitudes of a patch's gradients, and their angles in eighths of a turn, 0 to 8.

    The arctangent is a polynomial, right to 0.0003 of an eighth. Written: magnitudes, angles (m, m)
    float32, but for their border.
    """
    per_radian = np.float32(ORIENTATIONS / (2 * math.pi))
    for y in range(1, patch.shape[0] - 1):
        for x in range(1, patch.shape[1] - 1):
            gx = patch[y, x + 1] - patch[y, x - 1]
            gy = patch[y + 1, x] - patch[y - 1, x]
            magnitudes[y, x] = weights[y, x] * np.float32(math.sqrt(gx * gx + gy * gy))
            width, height = abs(gx), abs(gy)
            slope = min(width, height) / max(max(width, height), np.float32(1e-12))
            square = slope * slope
            angle = np.float32(-0.0464964749) * square + np.float32(0.15931422)
            angle = (angle * square - np.float32(0.327622764)) * square * slope + slope
            angle = np.float32(math.pi / 2) - angle if height > width else angle
            angle = np.float32(math.pi) - angle if gx < 0 else angle
            angle = np.float32(2 * math.pi) - angle if gy < 0 else angle
            angles[y, x] = angle * per_radian


@kernel
def vote_gradients(magnitudes, angles, bins, shares, histogram):
    """Trilinear votes of gradients for 4 x 4 places and 8 orientations (Lowe 2004, section 6.1).

    bins: (m,) int64, one more than the lower bin of each row or column; shares: (m,) float32, its share
    in the upper one. Written: histogram (6, 6, 8) float32, with a margin of one place.
    """
    histogram[:] = 0
    for y in range(1, magnitudes.shape[0] - 1):
        row = bins[y]
        for x in range(1, magnitudes.shape[1] - 1):
            column = bins[x]
            whole = int(angles[y, x])
            upper_angle = angles[y, x] - np.float32(whole)
            first = whole % ORIENTATIONS
            second = (whole + 1) % ORIENTATIONS
            next_row = magnitudes[y, x] * shares[y]
            this_row = magnitudes[y, x] - next_row
            for part in range(2):
                strength = next_row if part else this_row
                right = strength * shares[x]
                left = strength - right
                votes = histogram[row + part]
                votes[column, second] += left * upper_angle
                votes[column, first] += left - left * upper_angle
                votes[column + 1, second] += right * upper_angle
                votes[column + 1, first] += right - right * upper_angle


@kernel
def describe_patches(patches, weights, bins, shares, clip, magnitudes, angles, histogram, descriptors):
    """SIFT descriptors of patches: votes of gradients, no value above `clip` times the norm.

    patches: (n, m, m) float32. weights: (m, m) float32. magnitudes, angles (m, m) and histogram (6, 6, 8):
    float32 work space. Written: descriptors (n, 128) float32, not normalised after clipping.
    """
    for place in range(patches.shape[0]):
        patch_gradients(patches[place], weights, magnitudes, angles)
        vote_gradients(magnitudes, angles, bins, shares, histogram)
        norm = np.float32(0)
        for row in range(1, BINS + 1):
            for column in range(1, BINS + 1):
                for orientation in range(ORIENTATIONS):
                    norm += histogram[row, column, orientation] ** 2
        limit = np.float32(clip) * np.float32(math.sqrt(norm))
        entry = 0
        for row in range(1, BINS + 1):
            for column in range(1, BINS + 1):
                for orientation in range(ORIENTATIONS):
                    descriptors[place, entry] = min(histogram[row, column, orientation], limit)
                    entry += 1


@kernel
def patch_orientations(patches, weights, share, magnitudes, angles, histogram, smoothed, found):
    """The dominant orientations of patches (Lowe 2004, section 5): peaks of a histogram of gradients.

    share: least height of a second peak, of the highest. magnitudes, angles: (m, m) float32; histogram,
    smoothed: (k,) float32 work space. Written: found (n, 2) float64, radians from x towards y, the
    highest peak first; NaN where there is no other. A patch without gradients has the orientation 0.
    """
    count = histogram.shape[0]
    for place in range(patches.shape[0]):
        patch_gradients(patches[place], weights, magnitudes, angles)
        histogram[:] = 0
        for y in range(1, magnitudes.shape[0] - 1):
            for x in range(1, magnitudes.shape[1] - 1):
                position = angles[y, x] * np.float32(count / ORIENTATIONS)
                lower = int(position)
                upper_share = position - np.float32(lower)
                histogram[(lower + 1) % count] += magnitudes[y, x] * upper_share
                histogram[lower % count] += magnitudes[y, x] * (np.float32(1) - upper_share)
        for _ in range(3):
            for entry in range(count):
                neighbours = histogram[(entry - 1) % count] + histogram[(entry + 1) % count]
                smoothed[entry] = (neighbours + histogram[entry]) / np.float32(3)
            histogram[:] = smoothed
        found[place, 0], found[place, 1] = 0.0, np.nan
        heights = np.float32(-1), np.float32(-1)
        for entry in range(count):
            height = histogram[entry]
            before, after = histogram[(entry - 1) % count], histogram[(entry + 1) % count]
            if height > before and height >= after and height > heights[1]:
                offset = np.float64(0.5) * (before - after) / (before - 2 * height + after)
                angle = (entry + offset) * (2 * math.pi / count)
                if height > heights[0]:
                    found[place, 1] = found[place, 0] if heights[0] > 0 else np.nan
                    found[place, 0] = angle
                    heights = height, heights[0]
                else:
                    found[place, 1] = angle
                    heights = heights[0], height
        if heights[1] < share * heights[0]:
            found[place, 1] = np.nan
