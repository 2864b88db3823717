//! Time and memory against the size of the table, as an SVG that can be read on light and dark pages.

use std::fmt::Write as _;

use crate::report::Medians;
use crate::routers::Router;
use crate::rows::SIZES;

/// Width and height of a panel, and the room around it.
const PANEL: (f64, f64) = (340.0, 220.0);
const MARGIN: (f64, f64) = (56.0, 34.0);

const STYLE: &str = "text{font:12px sans-serif;fill:#333}.axis{stroke:#999;fill:none}.grid{stroke:#9994;fill:none}\
.line{stroke:#0969da;stroke-width:2;fill:none}.dot{fill:#0969da}.other{stroke:#bc4c00;stroke-width:2;fill:none}.odot{fill:#bc4c00}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.line{stroke:#58a6ff}.dot{fill:#58a6ff}.other{stroke:#f0883e}.odot{fill:#f0883e}}";

struct Panel<'a> {
    title: &'a str,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    /// Classes of its stroke and of its dots.
    classes: [&'a str; 2],
    name: &'a str,
    /// Routes, and the value.
    points: Vec<(f64, f64)>,
}

/// None unless the row `scale` was measured.
pub(crate) fn svg(medians: &Medians) -> Option<String> {
    let points = |figure: &str| {
        let one = |n: &usize| Some((*n as f64, medians.get(&format!("scale.{figure}.{n}"), Some(Router::Perouter))?));
        SIZES.iter().filter_map(one).collect::<Vec<_>>()
    };
    let (fib, host, peak) = (points("fib"), points("host"), points("peak"));
    if fib.is_empty() {
        return None;
    }
    let time = Panel {
        title: "seconds until everyone has all routes",
        lines: vec![
            Line { classes: ["line", "dot"], name: "kernel FIB", points: fib },
            Line { classes: ["other", "odot"], name: "host peer", points: host },
        ],
    };
    let memory = Panel {
        title: "peak memory, MiB",
        lines: vec![Line { classes: ["line", "dot"], name: "perouter", points: peak }],
    };
    let (width, height) = (2.0 * (PANEL.0 + MARGIN.0) + 24.0, PANEL.1 + 2.0 * MARGIN.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Time and memory against the number of routes</title>\n<style>{STYLE}</style>\n"
    );
    draw(&mut out, &time, MARGIN.0);
    draw(&mut out, &memory, PANEL.0 + 2.0 * MARGIN.0);
    out.push_str("</svg>\n");
    Some(out)
}

fn draw(out: &mut String, panel: &Panel<'_>, left: f64) {
    let all = || panel.lines.iter().flat_map(|line| &line.points);
    let most = all().map(|(n, _)| *n).fold(1.0, f64::max);
    let step = nice(all().map(|(_, value)| *value).fold(0.0, f64::max) / 4.0);
    let top = step * (all().map(|(_, value)| value / step).fold(0.0, f64::max)).ceil();
    let x = |n: f64| left + n / most * PANEL.0;
    let y = |value: f64| MARGIN.1 + PANEL.1 - value / top * PANEL.1;
    let _ = writeln!(out, "<text x=\"{left:.0}\" y=\"18\">{}</text>", panel.title);
    let mut value = 0.0;
    while value <= top * 1.001 {
        let (at, end) = (y(value), left + PANEL.0);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{left:.0} {at:.1}H{end:.0}\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            at + 4.0,
            short(value)
        );
        value += step;
    }
    for millions in [0.0, 0.5, 1.0, 1.5, 2.0] {
        let (at, bottom) = (x(millions * 1e6), MARGIN.1 + PANEL.1 + 18.0);
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{bottom:.0}\" text-anchor=\"middle\">{millions} M</text>");
    }
    let (bottom, end) = (MARGIN.1 + PANEL.1, left + PANEL.0);
    let _ = writeln!(out, "<path class=\"axis\" d=\"M{left:.0} {:.0}V{bottom:.0}H{end:.0}\"/>", MARGIN.1);
    for (i, Line { classes: [line, dot], name, points }) in panel.lines.iter().enumerate() {
        let path: Vec<_> = points.iter().map(|(n, value)| format!("{:.1} {:.1}", x(*n), y(*value))).collect();
        let _ = writeln!(out, "<path class=\"{line}\" d=\"M{}\"/>", path.join("L"));
        for (n, value) in points {
            let _ = writeln!(out, "<circle class=\"{dot}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", x(*n), y(*value));
        }
        let at = MARGIN.1 + 14.0 + 18.0 * i as f64;
        let _ = writeln!(out, "<circle class=\"{dot}\" cx=\"{:.0}\" cy=\"{:.0}\" r=\"4\"/>", left + 14.0, at - 4.0);
        let _ = writeln!(out, "<text x=\"{:.0}\" y=\"{at:.0}\">{name}</text>", left + 24.0);
    }
}

/// A step of 1, 2 or 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-9).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= step);
    factor.unwrap_or(10.0) * power
}

fn short(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}
