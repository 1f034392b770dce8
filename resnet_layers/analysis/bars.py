"""What the parts of a network take, as bars."""

from resnet_layers.analysis.parts import Part
from resnet_layers.analysis.scene import Box, Scene, Text, width_of
from resnet_layers.analysis.stages import Stages

_ROW, _BAR, _LONGEST, _MARGIN, _TYPE = 16.0, 11.0, 320.0, 16.0, 9.0


def scene_of(parts: list[Part], column: str, shown: list[str], title: str, note: str) -> Scene:
    """A bar for each part, in the colour of its stage, with its number behind it.

    Args:
        parts: What has bars, in the order of the network.
        column: Name of the number.
        shown: Each number in words.
        title: Above the bars.
        note: Below them, what they count.
    """
    left = _MARGIN + max(width_of(part.name, _TYPE) for part in parts) + 8
    numbers = [getattr(part, column) for part in parts]
    longest = max(numbers) or 1
    right = left + _LONGEST + 8 + max(width_of(text, _TYPE) for text in shown)
    width = max(right, *(_MARGIN + width_of(text, size) for text, size in ((title, 12), (note, 9))))
    scene = Scene(width + _MARGIN, 62.0 + _ROW * len(parts), title)
    scene.shapes.append(Text(_MARGIN, 18, title, 12, bold=True))
    stages = Stages()
    for i, (part, number, text) in enumerate(zip(parts, numbers, shown, strict=True)):
        y = 40 + _ROW * i
        length = number / longest * _LONGEST
        colour = stages.colour(part.path, max(part.stride) if part.stride else None)
        scene.shapes += [
            Text(left - 8, y, part.name, _TYPE, "end"),
            Box(left, y - _BAR / 2, length, _BAR, colour, part.name),
            Text(left + length + 6, y, text, _TYPE, colour="pale"),
        ]
    scene.shapes.append(Text(_MARGIN, scene.height - 14, note, _TYPE, colour="pale"))
    return scene
