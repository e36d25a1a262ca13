"""Line charts as SVG, readable on light and dark pages: text and lines take the page's colours."""

import html
import math

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 120, 48, 56
# Distinguishable for all eyes, in light (first) and dark.
COLOURS = [("#0072b2", "#56b4e9"), ("#b34a00", "#e69f00"), ("#00795a", "#2fd0a4"),
           ("#a0447c", "#e78ac3"), ("#555555", "#bbbbbb"), ("#8a6d00", "#f0e442"),
           ("#7a3db8", "#c39bf0")]


class Axis:
    """From values to places on the page; logarithmic where values span more than two decades."""

    def __init__(self, values, start, end, logarithmic=None):
        low, high = min(values), max(values)
        if logarithmic is None:
            logarithmic = low > 0 and high / low > 100
        self.logarithmic = logarithmic and low > 0
        self.start, self.end = start, end
        if self.logarithmic:
            self.low, self.high = math.log10(low), math.log10(high)
        else:
            self.low, self.high = min(0, low), high
        if self.high == self.low:
            self.high = self.low + 1

    def at(self, value):
        value = math.log10(value) if self.logarithmic else value
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        if self.logarithmic:
            found = [10.0 ** power * step
                     for power in range(math.floor(self.low), math.ceil(self.high) + 1)
                     for step in (1, 2, 5)]
            found = [value for value in found
                     if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9]
            whole = [value for value in found if math.log10(value) % 1 < 1e-9]
            return whole if len(whole) > 2 else found
        step = nice_step(self.high - self.low)
        count = math.floor((self.high - self.low) / step + 1e-9)
        return [self.low + step * number for number in range(count + 1)]


def nice_step(span):
    """1, 2 or 5 times a power of ten, so that there are four to ten steps."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= span / 4)


def short(value):
    """A number for an axis."""
    for limit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{name}"
    return f"{value:.3g}"


def style():
    def rules(which):
        return "".join(f".s{number} {{ stroke: {pair[which]}; fill: {pair[which]} }} "
                       for number, pair in enumerate(COLOURS))
    return f"""<style>
text {{ font: 13px system-ui, sans-serif; fill: #222 }} .title {{ font-size: 15px; font-weight: 600 }}
.grid {{ stroke: #8888; stroke-width: .5 }} .line {{ fill: none; stroke-width: 2 }}
.label {{ stroke: none }} .whisker {{ stroke-width: 1 }} {rules(0)}
@media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} {rules(1)} }}
</style>"""


def chart(title, x_title, y_title, series, note=""):
    """`series` maps a name to points (x, median, least, most); they come in the order of x."""
    points = [point for found in series.values() for point in found]
    if not points:
        raise ValueError(f"no points for {title}")
    x_axis = Axis([point[0] for point in points], LEFT, WIDTH - RIGHT)
    y_axis = Axis([value for point in points for value in point[1:]], HEIGHT - BOTTOM, TOP)
    said = html.escape(f"{title}. {note}".strip())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{said}">', style(),
        text(LEFT, 24, title, "title"), *grid(x_axis, y_axis),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_title, anchor="middle"),
        text(LEFT, 42, y_title)]
    for number, (name, found) in enumerate(series.items()):
        parts += line(f"s{number % len(COLOURS)}", found, x_axis, y_axis)
    parts += labels(series, y_axis)
    return "\n".join([*parts, "</svg>\n"])


def text(x, y, said, kind="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f'{html.escape(said)}</text>')


def grid(x_axis, y_axis):
    for value in y_axis.ticks():
        y = y_axis.at(value)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield text(LEFT - 8, y + 4, short(value), anchor="end")
    for value in x_axis.ticks():
        x = x_axis.at(value)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield text(x, HEIGHT - BOTTOM + 18, short(value), anchor="middle")


def line(kind, points, x_axis, y_axis):
    placed = [(x_axis.at(x), *map(y_axis.at, values)) for x, *values in points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in placed)
    yield f'<path class="line {kind}" style="fill:none" d="M{path}"/>'
    for x, y, least, most in placed:
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
        yield f'<path class="whisker {kind}" d="M{x:.1f} {least:.1f}V{most:.1f}"/>'


def labels(series, y_axis):
    """Each name beside the end of its line, pushed apart where they would overlap."""
    ends = sorted((y_axis.at(found[-1][1]), number, name)
                  for number, (name, found) in enumerate(series.items()) if found)
    last = -math.inf
    for y, number, name in ends:
        last = max(y, last + 16)
        yield text(WIDTH - RIGHT + 10, last + 4, name, f"label s{number % len(COLOURS)}")
