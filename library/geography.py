"""Distances on the earth."""

from __future__ import annotations

import math

# The mean radius R1 of the International Union of Geodesy and Geophysics; the earth's flattening makes up to 0.5 %.
EARTH_RADIUS_KM = 6371.0088


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The great-circle distance of two places in degrees, by the haversine formula.

    hav(d / R) = hav(lat2 - lat1) + cos(lat1) cos(lat2) hav(lon2 - lon1), hav(x) = sin(x / 2)^2 (Sinnott, "Virtues of
    the haversine", Sky and Telescope 68, 1984): exact for small distances, across the antimeridian and at the poles.
    """
    one, two = math.radians(latitude), math.radians(other_latitude)
    across = math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    haversine = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * across
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, haversine)))


def box(
    latitude: float, longitude: float, radius_km: float
) -> tuple[tuple[float, float], list[tuple[float, float]]]:
    """Degrees that hold the circle: (south, north), and one or two ranges (west, east) within -180 to 180.

    A little larger than the circle, never smaller. A circle around a pole takes every longitude.
    """
    angle = radius_km / EARTH_RADIUS_KM * 1.000001 + 1e-9
    south = latitude - math.degrees(angle)
    north = latitude + math.degrees(angle)
    if south <= -90 or north >= 90:
        return (max(south, -90.0), min(north, 90.0)), [(-180.0, 180.0)]
    # The meridians that touch the circle, not those at the latitude of its centre.
    reach = math.degrees(math.asin(math.sin(angle) / math.cos(math.radians(latitude)))) + 1e-9
    west, east = longitude - reach, longitude + reach
    if west < -180:
        return (south, north), [(-180.0, east), (west + 360, 180.0)]
    if east > 180:
        return (south, north), [(-180.0, east - 360), (west, 180.0)]
    return (south, north), [(west, east)]
