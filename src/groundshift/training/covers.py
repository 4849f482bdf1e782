"""Reflectance of the covers of the earth, and which of them lie side by side; round numbers in the usual range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

# fmt: off
COVERS: dict[str, list[float]] = {
    # surface reflectance in %   B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12
    "fresh snow":   [94, 95, 95, 94, 93, 92, 91, 90, 87, 82, 12, 10],
    "old snow":     [68, 72, 72, 70, 68, 66, 64, 62, 58, 52, 7, 5],
    "dirty snow":   [42, 45, 47, 48, 48, 47, 46, 45, 43, 40, 9, 7],
    "ice":          [52, 57, 54, 46, 41, 37, 34, 31, 26, 20, 3, 2],
    "pale sand":    [19, 24, 34, 43, 46, 47, 48, 50, 51, 51, 60, 56],
    "red sand":     [9, 11, 20, 36, 40, 42, 43, 45, 46, 46, 57, 52],
    "river sand":   [14, 17, 21, 25, 27, 28, 29, 30, 31, 30, 36, 32],
    "gravel":       [17, 20, 23, 25, 26, 27, 27, 28, 28, 28, 31, 28],
    "gypsum":       [46, 55, 64, 70, 72, 73, 74, 75, 76, 73, 60, 45],
    "salt":         [48, 53, 59, 63, 64, 65, 65, 65, 64, 60, 40, 28],
    "limestone":    [22, 26, 31, 35, 37, 38, 39, 40, 40, 40, 43, 38],
    "grey rock":    [12, 14, 17, 19, 20, 21, 21, 22, 23, 23, 26, 23],
    "basalt":       [5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9, 12, 11],
    "laterite":     [4, 5, 9, 18, 21, 24, 27, 30, 33, 33, 42, 36],
    "brown soil":   [5, 6.5, 9, 12, 14, 16, 18, 20, 22, 22, 30, 25],
    "dark soil":    [3, 3.5, 4.5, 6, 7, 8, 9, 10, 11, 11, 17, 15],
    "stubble":      [6.8, 8.3, 12, 15, 18, 22, 25, 27, 29, 29, 35, 25],
    "dry grass":    [5, 6, 10, 14, 18, 21, 23, 25, 27, 27, 37, 24],
    "savanna":      [4, 5, 8, 10, 14, 19, 21, 23, 25, 25, 30, 19],
    "pasture":      [3, 4, 7.5, 5.5, 11, 26, 31, 34, 36, 36, 22, 12],
    "crop":         [2.5, 3, 6.5, 3.5, 9.5, 32, 41, 44, 46, 46, 19, 9],
    "broadleaf":    [2, 2.6, 5, 3, 7.5, 22, 28, 30, 32, 32, 15, 7],
    "conifer":      [1.5, 1.9, 3.2, 2.1, 4.5, 11, 14, 16, 17, 17, 8, 4],
    "shrub":        [3.5, 4.5, 6.5, 7.5, 10, 15, 17, 19, 21, 21, 24, 16],
    "wetland":      [3, 3.5, 5.5, 5, 7.5, 12, 14, 15, 16, 15, 10, 5],
    "mangrove":     [2, 2.5, 4, 2.7, 6, 18, 22, 24, 25, 24, 9, 4],
    "tundra":       [4, 5, 7, 8, 11, 16, 18, 20, 21, 21, 22, 14],
    "burnt":        [2.5, 3, 3.6, 4.3, 5, 6.3, 7.2, 8, 9, 9.5, 16, 18],
    "ash":          [9, 10, 12, 13, 14, 15, 16, 17, 18, 18, 25, 26],
    "asphalt":      [7.4, 8, 9, 9.6, 10, 11, 11.5, 12, 12.5, 12.5, 14, 13],
    "concrete":     [18, 21, 25, 27, 28, 29, 30, 31, 31, 31, 33, 32],
    "built":        [9, 10, 11.5, 12.3, 14, 16, 17, 18, 19, 19, 20, 17],
    "tiles":        [5, 6, 9, 17, 20, 23, 25, 27, 28, 28, 34, 30],
    "white roof":   [55, 62, 64, 65, 65, 65, 65, 65, 64, 60, 58, 52],
    "metal roof":   [30, 33, 34, 35, 36, 36, 37, 37, 38, 37, 36, 33],
    "blue roof":    [20, 27, 22, 15, 14, 16, 18, 22, 25, 26, 30, 26],
    "greenhouse":   [30, 35, 40, 43, 45, 48, 50, 51, 52, 51, 47, 40],
    "quarry":       [30, 36, 43, 48, 50, 51, 51, 52, 52, 51, 50, 44],
    "deep water":   [5, 4, 2.5, 1.2, 0.8, 0.6, 0.5, 0.4, 0.3, 0.3, 0.1, 0.1],
    "lake":         [3.5, 3.3, 4, 2.5, 2, 1.2, 1, 0.8, 0.7, 0.6, 0.3, 0.2],
    "turbid water": [8, 10, 14, 14, 12, 6.5, 6, 4.5, 3.5, 2.5, 0.5, 0.4],
    "brown water":  [9, 12, 18, 23, 23, 14, 13, 10, 8, 6, 1, 0.7],
    "shallow":      [15, 19, 20, 10, 5, 2.2, 1.8, 1.4, 1, 0.8, 0.2, 0.2],
    "glint":        [12, 12, 11, 10.5, 10.5, 10.3, 10.2, 10, 10, 9, 8, 7],
    "foam":         [40, 40, 38, 35, 33, 30, 28, 26, 24, 20, 10, 6],
    "mud":          [8, 10, 13, 15, 16, 17, 17, 18, 18, 16, 12, 9],
}
# fmt: on
SNOWY = {"fresh snow", "old snow", "dirty snow", "ice"}
WATER = {"deep water", "lake", "turbid water", "brown water", "shallow", "glint", "foam"}
BIOMES: tuple[tuple[str, ...], ...] = (
    ("pale sand", "red sand", "grey rock", "basalt", "limestone", "shrub", "salt", "gypsum"),
    ("pale sand", "limestone", "shrub", "dry grass", "built", "concrete"),
    ("red sand", "laterite", "savanna", "dry grass", "burnt", "ash"),
    ("salt", "gypsum", "turbid water", "mud", "pale sand", "shallow", "brown soil"),
    ("fresh snow", "old snow", "grey rock", "conifer", "ice", "dirty snow", "pasture"),
    ("fresh snow", "old snow", "tundra", "lake", "ice", "deep water"),
    ("fresh snow", "dirty snow", "dark soil", "conifer", "built", "stubble"),
    ("limestone", "grey rock", "pasture", "conifer", "old snow", "lake"),
    ("deep water", "shallow", "foam", "pale sand", "broadleaf", "built"),
    ("deep water", "turbid water", "foam", "glint"),
    ("deep water", "basalt", "pasture", "conifer", "foam"),
    ("crop", "pasture", "brown soil", "stubble", "broadleaf", "built", "tiles"),
    ("crop", "dark soil", "dry grass", "lake", "white roof", "concrete"),
    ("built", "asphalt", "concrete", "tiles", "metal roof", "white roof", "blue roof", "pasture", "lake"),
    ("broadleaf", "mangrove", "brown water", "laterite", "pasture", "burnt"),
    ("broadleaf", "pasture", "brown soil", "brown water", "turbid water"),
    ("broadleaf", "river sand", "brown water", "mud", "pasture"),
    ("conifer", "gravel", "turbid water", "river sand", "tundra", "shrub"),
    ("fresh snow", "old snow", "conifer", "gravel", "tundra", "ice"),
    ("conifer", "wetland", "lake", "tundra", "dark soil"),
    ("lake", "conifer", "pasture", "crop", "built"),
    ("lake", "deep water", "turbid water", "broadleaf", "crop", "brown soil"),
    ("conifer", "grey rock", "deep water", "pasture"),
    ("burnt", "ash", "conifer", "dry grass", "shrub", "broadleaf"),
    ("greenhouse", "white roof", "brown soil", "crop", "shallow", "deep water"),
    ("quarry", "limestone", "grey rock", "conifer", "lake", "dry grass"),
    ("mud", "turbid water", "wetland", "foam", "pale sand", "deep water"),
    ("savanna", "dry grass", "laterite", "shrub", "brown soil", "burnt"),
)


def spectrum(name: str) -> Image:
    """(13) surface reflectance of a cover; the cirrus band sees nothing of the ground."""
    percent = COVERS[name]
    found: Image = np.array([*percent[:10], 0.1, *percent[10:]], np.float32) / np.float32(100)
    return found
