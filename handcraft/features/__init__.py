"""Stage 1, photo → features: reading photographs, detecting and describing local features."""

from handcraft.errors import DependencyError

try:
    import cv2 as _cv2  # noqa: F401 - whether it loads is a question for the user's system
except ImportError as error:
    raise DependencyError(
        f"OpenCV cannot be loaded ({error}); install the system package libgl1 "
        "(apt-get install libgl1), or the wheel opencv-contrib-python-headless in place of "
        "opencv-contrib-python."
    ) from error
