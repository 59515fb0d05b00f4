"""Traffic signs drawn from a seed, as a camera in a passing car would see them.

The pictures imitate the German Traffic Sign Recognition Benchmark (GTSRB): crops of 25 to 243 px around one sign,
often dark, blurred and low in contrast, that come in *tracks*: consecutive pictures of one physical sign while a car
approaches it. A track fixes what stands in the street (sign, fading, background, light); a frame fixes how the camera
saw it (size, view, exposure, blur, noise).
"""

from imcomp.data.signs.scene import render_sign

__all__ = ["render_sign"]
