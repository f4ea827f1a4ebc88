"""Constant-velocity Kalman filter of a box: centre x, centre y, log width, log height, each on its own.

box at capture time ──start, correct──▶ BoxFilter ──predict(t)──▶ where it should be, how sure

Position and velocity of each parameter, driven by white acceleration: dt is whatever the capture times say.
The four do not mix, so each needs three numbers of covariance and no matrices (a numpy call costs more).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edge_runtime.tracking.settings import TrackSettings

    Four = tuple[float, float, float, float]

NS = 1e-9
SMALLEST = 0.002  # a side, as a share of the frame's: less than a pixel of the network's input
_LOG_SIZE = (math.log(SMALLEST), 0.0)
_CENTRE = (0.0, 1.0)
_FASTEST_CENTRE = 3.0  # frame sides per second; faster things leave the picture within a few frames
_FASTEST_SIZE = 3.0  # of the log: a factor of 20 per second
_TINY = 1e-12


class Motion(NamedTuple):
    """Estimate of cx, cy, log w, log h and their velocities per second at `t_ns`."""

    t_ns: int
    position: Four
    velocity: Four


class _Axis:
    """One parameter: position x, velocity v and their covariance [[xx, xv], [xv, vv]]."""

    __slots__ = ("density", "fastest", "high", "low", "v", "vv", "x", "xv", "xx")

    def __init__(
        self, x: float, xx: float, speed: float, accel: float, limits: tuple[float, float], fastest: float
    ) -> None:
        self.low, self.high = limits
        self.fastest = fastest
        self.x, self.v = min(max(x, self.low), self.high), 0.0
        self.xx, self.xv, self.vv = xx, 0.0, max(speed * speed, _TINY)
        self.density = accel * accel

    def predict(self, dt: float) -> None:
        q_dt = self.density * dt
        self.xx += dt * (2.0 * self.xv + dt * self.vv + q_dt * dt / 3.0)
        self.xv += dt * (self.vv + q_dt / 2.0)
        self.vv += q_dt
        self.x += self.v * dt
        self._limit()

    def correct(self, measured: float, variance: float) -> None:
        """`variance` above 0: then xx, vv and the determinant stay above 0, but for rounding."""
        total = self.xx + variance
        gain_x, gain_v = self.xx / total, self.xv / total
        off = measured - self.x
        self.x += gain_x * off
        self.v += gain_v * off
        self.vv -= gain_v * self.xv
        kept = variance / total
        self.xx *= kept
        self.xv *= kept
        self._mend()
        self._limit()

    def _mend(self) -> None:
        """Undo what rounding may have done to a covariance."""
        self.xx = max(self.xx, _TINY)
        self.vv = max(self.vv, self.xv * self.xv / self.xx * (1.0 + 1e-9), _TINY)

    def _limit(self) -> None:
        self.v = min(max(self.v, -self.fastest), self.fastest)
        if self.x < self.low:
            self.x, self.v = self.low, max(self.v, 0.0)
        elif self.x > self.high:
            self.x, self.v = self.high, min(self.v, 0.0)


class BoxFilter:
    """The filter of one box. Times are monotonic ns of capture and never go back."""

    __slots__ = ("_axes", "_settings", "_surprised", "t_ns")

    def __init__(self, box_xyxy: Four, t_ns: int, settings: TrackSettings) -> None:
        self._settings = settings
        self.t_ns = t_ns
        self._axes = self._start(box_xyxy)
        self._surprised = False

    def _start(self, box_xyxy: Four) -> tuple[_Axis, _Axis, _Axis, _Axis]:
        s = self._settings
        cx, cy, log_w, log_h = parameters(box_xyxy)
        var_x, var_y, var_w, var_h = self._noise(log_w, log_h)
        return (
            _Axis(cx, var_x, s.centre_speed_per_s, s.centre_accel, _CENTRE, _FASTEST_CENTRE),
            _Axis(cy, var_y, s.centre_speed_per_s, s.centre_accel, _CENTRE, _FASTEST_CENTRE),
            _Axis(log_w, var_w, s.size_speed_log_per_s, s.size_accel, _LOG_SIZE, _FASTEST_SIZE),
            _Axis(log_h, var_h, s.size_speed_log_per_s, s.size_accel, _LOG_SIZE, _FASTEST_SIZE),
        )

    def predict(self, t_ns: int) -> None:
        """Move the estimate to `t_ns`; an earlier or equal time changes nothing."""
        if t_ns <= self.t_ns:
            return
        dt = (t_ns - self.t_ns) * NS
        for axis in self._axes:
            axis.predict(dt)
        self.t_ns = t_ns

    def follow(self, box_xyxy: Four) -> None:
        """Take in an accepted detection of the time last predicted to.

        One beyond the Mahalanobis gate overlaps and is yet not what was expected: regions of the map merge
        and part. Once is taken for noise; the second time running the filter begins anew there, rather than
        drag behind.
        """
        before = self._surprised
        self._surprised = self.distance(box_xyxy) > self._settings.gate_mahalanobis
        if before and self._surprised:
            self._axes, self._surprised = self._start(box_xyxy), False
            return
        noise = self._noise(self._axes[2].x, self._axes[3].x)
        for axis, measured, variance in zip(self._axes, parameters(box_xyxy), noise):
            axis.correct(measured, variance)

    def distance(self, box_xyxy: Four) -> float:
        """Squared Mahalanobis distance of a detection from the estimate: 4 degrees of freedom."""
        noise = self._noise(self._axes[2].x, self._axes[3].x)
        return sum(
            (measured - axis.x) ** 2 / (axis.xx + variance)
            for axis, measured, variance in zip(self._axes, parameters(box_xyxy), noise)
        )

    @property
    def motion(self) -> Motion:
        """The present estimate, to extrapolate from later."""
        x, y, w, h = self._axes
        return Motion(self.t_ns, (x.x, y.x, w.x, h.x), (x.v, y.v, w.v, h.v))

    @property
    def box_xyxy(self) -> Four:
        """The present estimate, clipped to the frame."""
        x, y, w, h = self._axes
        return clipped_box(x.x, y.x, w.x, h.x)

    @property
    def covariances(self) -> tuple[tuple[float, float, float], ...]:
        """(variance, covariance with the velocity, variance of the velocity) of each parameter."""
        return tuple((axis.xx, axis.xv, axis.vv) for axis in self._axes)

    @property
    def std(self) -> Four:
        """Standard deviations of cx, cy (fractions of the frame), log w, log h."""
        x, y, w, h = self._axes
        return math.sqrt(x.xx), math.sqrt(y.xx), math.sqrt(w.xx), math.sqrt(h.xx)

    def _noise(self, log_w: float, log_h: float) -> Four:
        """Variances of one detection of a box of this size."""
        share = self._settings.centre_noise_share
        size = max(self._settings.size_noise_log**2, _TINY)
        x, y = share * math.exp(log_w), share * math.exp(log_h)
        return max(x * x, _TINY), max(y * y, _TINY), size, size


def parameters(box_xyxy: Four) -> Four:
    """Centre x, centre y, log width, log height of a box; sides below `SMALLEST` count as that."""
    x0, y0, x1, y1 = box_xyxy
    width, height = max(x1 - x0, SMALLEST), max(y1 - y0, SMALLEST)
    return (x0 + x1) / 2.0, (y0 + y1) / 2.0, math.log(width), math.log(height)


def clipped_box(cx: float, cy: float, log_w: float, log_h: float) -> Four:
    """Corners of a box within the frame, 0 <= x0 < x1 <= 1; outside remains a sliver at the border."""
    x0, x1 = _clipped(cx, math.exp(log_w) / 2.0)
    y0, y1 = _clipped(cy, math.exp(log_h) / 2.0)
    return x0, y0, x1, y1


def _clipped(centre: float, half: float) -> tuple[float, float]:
    low = min(max(centre - half, 0.0), 1.0 - SMALLEST)
    return low, min(max(centre + half, low + SMALLEST), 1.0)


def extrapolate(motion: Motion, t_ns: int) -> Four:
    """The box at `t_ns` if it goes on as it moves now; clipped to the frame."""
    dt = (t_ns - motion.t_ns) * NS
    cx, cy, log_w, log_h = (x + v * dt for x, v in zip(motion.position, motion.velocity))
    low, high = _LOG_SIZE
    return clipped_box(
        min(max(cx, 0.0), 1.0),
        min(max(cy, 0.0), 1.0),
        min(max(log_w, low), high),
        min(max(log_h, low), high),
    )
