//! Plots over time: latency of each call, its quantiles, and throughput. Plotters draws axes and series; fault windows
//! are laid behind them by hand, so that they carry their names; colours become classes of the page's style, so that
//! light and dark work.

use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use schism_history::Kind;
use serde_json::json;

use super::Page;
use crate::figures::{Bucket, Latency, Outcomes, Scatter, Series, Window};
use crate::sentence;
use crate::words::{self, count};

const WIDTH: u32 = 1000;
const PLOT_HEIGHT: u32 = 230;
const GUTTER: u32 = 88;
const ROW: u32 = 17;
const FOOT: u32 = 28;
/// Most fault windows that are drawn and told under the pointer.
const WINDOWS_MAX: usize = 400;
/// Most classes that have their own row; further ones share the last.
const ROWS_MAX: usize = 8;

/// A colour that stands for a class of the page's style. Plotters writes it, [`themed`] replaces it.
const fn ink(place: u8) -> RGBColor {
    RGBColor(1, 2, place)
}

const NAMES: [&str; 9] = ["ok", "fail", "info", "p50", "p95", "p99", "grid", "axis", "words"];
const OK: RGBColor = ink(0);
const FAIL: RGBColor = ink(1);
const INFO: RGBColor = ink(2);
const GRID: RGBColor = ink(6);
const AXIS: RGBColor = ink(7);
const WORDS: RGBColor = ink(8);

type Area<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Marked, Marked>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A vertical axis: its range, its marks and their words.
struct Axis {
    from: f64,
    to: f64,
    marks: Vec<f64>,
    told: fn(f64) -> String,
}

/// A straight range of numbers with marks where we want them.
struct Marked {
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Ranged for Marked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let share = (value - self.from) / (self.to - self.from).max(f64::MIN_POSITIVE);
        low + (share * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

pub(super) fn plots(page: &Page<'_>, series: &Series) -> Markup {
    let figures = &page.measured.figures;
    let nothing = if figures.outcomes.total() == 0 {
        Some("There is nothing to draw: the history has no operation of a client.")
    } else if figures.end_ns == 0 {
        Some("There is nothing to draw: the history does not say when its operations happened.")
    } else {
        None
    };
    html! {
        section id="plots" {
            h2 { "Over time" }
            @if let Some(nothing) = nothing {
                p { (nothing) }
            } @else {
                @if !figures.windows.is_empty() { p class="dim" { (shading(page)) } }
                (latency(page))
                (quantiles(page, series))
                (throughput(page, series))
            }
        }
    }
}

fn shading(page: &Page<'_>) -> String {
    let windows = page.measured.figures.windows.len();
    let cut = if windows > WINDOWS_MAX {
        format!(" The first {WINDOWS_MAX} of {} are drawn.", count(windows as u64))
    } else {
        String::new()
    };
    let unproven = page.measured.figures.windows.iter().any(|window| !window.landed);
    let unproven = if unproven { " A dashed frame without filling: never seen to take effect." } else { "" };
    format!("The shaded stretches are faults, from injection to proven healing, a row for each class.{unproven}{cut}")
}

fn latency(page: &Page<'_>) -> Markup {
    let scatter = page.measured.scatter();
    let axis = latency_axis(scatter.points.iter().map(|point| point.latency_ns));
    let svg = chart(page, "latency", "Latency of each operation", &axis, |area| {
        for (wanted, draw) in [(Kind::Ok, 0), (Kind::Fail, 1), (Kind::Info, 2)] {
            let points = scatter.points.iter().filter(|point| point.outcome == wanted);
            let points = points.map(|point| (seconds(point.at_ns), log_ms(point.latency_ns)));
            match draw {
                0 => drop(area.draw_series(points.map(|at| Circle::new(at, 2, OK.filled())))?),
                1 => drop(area.draw_series(points.map(|at| TriangleMarker::new(at, 5, FAIL.filled())))?),
                _ => drop(area.draw_series(points.map(|at| Cross::new(at, 4, INFO.stroke_width(2))))?),
            }
        }
        Ok(())
    });
    html! {
        figure {
            h3 { "Latency of each operation" }
            (svg)
            figcaption {
                (outcome_keys())
                span {
                    "Logarithmic; by the time at which the operation began. "
                    (sampled(&scatter, page.measured.figures.unanswered))
                }
            }
        }
    }
}

fn sampled(scatter: &Scatter, unanswered: u64) -> String {
    let shown = scatter.points.len() as u64;
    let mut text = if shown == scatter.of_count {
        format!("All {} operations that ended are shown.", count(shown))
    } else {
        let rest = if scatter.all_not_ok { "every failure and doubt" } else { "an even choice of failures and doubts" };
        format!(
            "{} of {} operations that ended are shown: {rest}, the fastest and slowest of each stretch, and an even \
             choice of the others.",
            count(shown),
            count(scatter.of_count)
        )
    };
    if unanswered > 0 {
        text.push_str(&format!(
            " {} never answered.",
            if unanswered == 1 { "1 was".to_owned() } else { format!("{} were", count(unanswered)) }
        ));
    }
    text
}

fn quantiles(page: &Page<'_>, series: &Series) -> Markup {
    let some = || series.buckets.iter().filter_map(|bucket| bucket.latency);
    let axis = latency_axis(some().flat_map(|latency| [latency.p50_ns, latency.p99_ns]));
    type Quantile = fn(&Latency) -> u64;
    let lines: [(u8, Quantile); 3] =
        [(5, |latency| latency.p99_ns), (4, |latency| latency.p95_ns), (3, |latency| latency.p50_ns)];
    let svg = chart(page, "quantiles", "Quantiles of latency over time", &axis, |area| {
        for (place, of) in lines {
            for stretch in stretches(series, |bucket| bucket.latency.map(|latency| log_ms(of(&latency)))) {
                line(area, stretch, ink(place))?;
            }
        }
        Ok(())
    });
    html! {
        figure {
            h3 { "Quantiles of latency" }
            (svg)
            figcaption {
                @for (name, told) in [("p99", "99 %"), ("p95", "95 %"), ("p50", "50 %")] {
                    span class="key" {
                        svg viewBox="0 0 30 12" aria-hidden="true" {
                            line class={ "s-" (name) } x1="1" y1="6" x2="29" y2="6" stroke-width="2" {}
                        }
                        (told)
                    }
                }
                span { "Of operations that succeeded; logarithmic; in slices of " (words::span(series.width_ns)) "." }
            }
        }
    }
}

fn throughput(page: &Page<'_>, series: &Series) -> Markup {
    let slices = rated(series, page.measured.figures.end_ns);
    let most = slices.iter().flat_map(|(_, rates)| rates).copied().fold(0.0, f64::max);
    let axis = rate_axis(most);
    let svg = chart(page, "throughput", "Throughput by outcome", &axis, |area| {
        for (place, color) in [OK, FAIL, INFO].into_iter().enumerate() {
            line(area, slices.iter().map(|(at, rates)| (*at, rates[place])).collect(), color)?;
        }
        Ok(())
    });
    html! {
        figure {
            h3 { "Throughput by outcome" }
            (svg)
            figcaption {
                @for (name, told) in [("ok", "ok"), ("fail", "fail"), ("info", "info (in doubt)")] {
                    span class="key" {
                        svg viewBox="0 0 30 12" aria-hidden="true" {
                            line class={ "s-" (name) } x1="1" y1="6" x2="29" y2="6" stroke-width="2" {}
                        }
                        (told)
                    }
                }
                span { "Operations that ended, each second, in slices of " (words::span(series.width_ns)) "." }
            }
        }
    }
}

/// Middle of each slice in seconds, and `ok`, `fail` and `info` a second in it. The last slice counts for as long as the
/// run reached into it, and not at all where that is less than a quarter: its rate would be chance.
fn rated(series: &Series, end_ns: u64) -> Vec<(f64, [f64; 3])> {
    let slices = series.buckets.iter().enumerate().filter_map(|(place, bucket)| {
        let start = place as u64 * series.width_ns;
        let width = series.width_ns.min(end_ns.saturating_sub(start));
        if place > 0 && width < series.width_ns / 4 {
            return None;
        }
        let per_s = |number: u64| number as f64 / seconds(width.max(1));
        let Outcomes { ok, fail, info } = bucket.ended;
        Some((seconds(start + width / 2), [ok, fail, info].map(per_s)))
    });
    slices.collect()
}

fn outcome_keys() -> Markup {
    html! {
        span class="key" {
            svg viewBox="0 0 12 12" aria-hidden="true" { circle class="f-ok" cx="6" cy="6" r="3" {} } "ok"
        }
        span class="key" {
            svg viewBox="0 0 12 12" aria-hidden="true" { polygon class="f-fail" points="6,1 11,10 1,10" {} } "fail"
        }
        span class="key" {
            svg viewBox="0 0 12 12" aria-hidden="true" {
                path class="s-info" d="M2 2L10 10M10 2L2 10" stroke-width="2" {}
            }
            "info (in doubt)"
        }
    }
}

/// Middles of slices and their values, cut where a slice has none.
fn stretches(series: &Series, of: impl Fn(&Bucket) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
    let mut stretches = vec![Vec::new()];
    for (place, bucket) in series.buckets.iter().enumerate() {
        let at = (place as f64 + 0.5) * series.width_ns as f64 / 1e9;
        match (of(bucket), stretches.last_mut()) {
            (Some(value), Some(last)) => last.push((at, value)),
            (None, Some(last)) if !last.is_empty() => stretches.push(Vec::new()),
            _ => {}
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

fn line(area: &mut Area<'_>, stretch: Vec<(f64, f64)>, color: RGBColor) -> Drawn {
    if let [only] = stretch.as_slice() {
        area.draw_series([Circle::new(*only, 2, color.filled())])?;
    } else {
        area.draw_series(LineSeries::new(stretch, color.stroke_width(2)))?;
    }
    Ok(())
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Logarithm of milliseconds; nothing is faster than 1 µs here.
fn log_ms(ns: u64) -> f64 {
    (ns.max(1_000) as f64 / 1e6).log10()
}

fn latency_axis(latencies_ns: impl Iterator<Item = u64>) -> Axis {
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for latency in latencies_ns {
        (low, high) = (low.min(log_ms(latency)), high.max(log_ms(latency)));
    }
    if low > high {
        (low, high) = (0.0, 2.0);
    }
    let decades = (low.floor() as i32)..=(high.ceil() as i32).max(low.floor() as i32 + 1);
    let (from, to) = (f64::from(*decades.start()), f64::from(*decades.end()));
    let steps: &[f64] = if decades.clone().count() <= 4 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let marks = decades.flat_map(|decade| steps.iter().map(move |step| f64::from(decade) + step.log10()));
    Axis { from, to, marks: marks.filter(|mark| *mark <= to).collect(), told: told_log_ms }
}

fn told_log_ms(log: f64) -> String {
    let us = 10f64.powf(log + 3.0);
    match us {
        us if us < 999.0 => format!("{us:.0} µs"),
        us if us < 999_000.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.0} s", us / 1e6),
    }
}

/// The smallest 1, 2 or 5 times a power of ten by which `most` has at most so many steps.
fn step(most: f64, steps_max: f64) -> f64 {
    let power = 10f64.powf((most / steps_max).max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| most / step <= steps_max).unwrap_or(most)
}

fn rate_axis(most: f64) -> Axis {
    let most = most.max(1.0);
    let step = step(most, 5.0).max(1.0);
    let to = (most / step).ceil() * step;
    let marks = (0..=(to / step).round() as usize).map(|place| place as f64 * step).collect();
    Axis { from: 0.0, to, marks, told: |rate| format!("{}/s", count(rate.round() as u64)) }
}

/// Marks of the time axis, in seconds.
fn time_marks(end_s: f64) -> Vec<f64> {
    let nice = [60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0];
    let step = if end_s <= 240.0 {
        step(end_s, 12.0)
    } else {
        nice.into_iter().find(|step| end_s / step <= 12.0).unwrap_or_else(|| step(end_s, 12.0))
    };
    (0..=(end_s / step) as usize).map(|place| place as f64 * step).collect()
}

fn told_time(seconds: f64, end_s: f64) -> String {
    match end_s {
        _ if seconds == 0.0 => "0".to_owned(),
        end if end > 14_400.0 => format!("{:.1} h", seconds / 3_600.0),
        end if end > 240.0 => format!("{:.0} min", seconds / 60.0),
        end if end > 4.0 => format!("{seconds:.0} s"),
        end if end > 0.004 => format!("{} ms", (seconds * 1e5).round() / 100.0),
        _ => format!("{} µs", (seconds * 1e8).round() / 100.0),
    }
}

/// A plot in a frame that scrolls where the screen is narrow.
fn chart(page: &Page<'_>, id: &str, title: &str, axis: &Axis, draw: impl FnOnce(&mut Area<'_>) -> Drawn) -> Markup {
    let end_s = seconds(page.measured.figures.end_ns).max(1e-9);
    let rows = page.classes.len().min(ROWS_MAX) as u32;
    let top = 6 + rows * ROW;
    let height = top + PLOT_HEIGHT + FOOT;
    let Ok(drawn) = plotted(end_s, axis, (top, height), draw) else {
        return html! { p class="trouble" { "This plot could not be drawn." } };
    };
    let (x0, x1) = (f64::from(GUTTER), f64::from(WIDTH - 14));
    html! {
        div class="scroll" tabindex="0" role="group" aria-label={ (title) ", plot" } {
            svg class="plot" viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby={ (id) "-t " (id) "-d" }
                data-x0=(x0) data-x1=(x1) data-y0=(top) data-y1=(top + PLOT_HEIGHT) {
                title id={ (id) "-t" } { (title) }
                desc id={ (id) "-d" } {
                    "Time runs from left to right over " (words::span(page.measured.figures.end_ns))
                    ". The same figures stand in the tables below."
                }
                (bands(page, end_s, (x0, x1), top))
                (PreEscaped(themed(&drawn)))
            }
        }
    }
}

fn plotted(
    end_s: f64,
    axis: &Axis,
    (top, height): (u32, u32),
    draw: impl FnOnce(&mut Area<'_>) -> Drawn,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let mut area = ChartBuilder::on(&root)
            .margin_top(top)
            .margin_right(14)
            .x_label_area_size(FOOT)
            .y_label_area_size(GUTTER)
            .build_cartesian_2d(
                Marked { from: 0.0, to: end_s, marks: time_marks(end_s) },
                Marked { from: axis.from, to: axis.to, marks: axis.marks.clone() },
            )?;
        area.configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(("sans-serif", 12).into_font().color(&WORDS))
            .x_labels(40)
            .y_labels(40)
            .x_label_formatter(&|at| told_time(*at, end_s))
            .y_label_formatter(&|at| (axis.told)(*at))
            .draw()?;
        draw(&mut area)?;
        root.present()?;
    }
    Ok(svg)
}

/// Plotters' SVG without its frame, with classes for colours and without what goes without saying.
fn themed(svg: &str) -> String {
    let inner = svg.find('>').map_or(svg, |end| &svg[end + 1..]);
    let mut text = inner.trim_end().trim_end_matches("</svg>").to_owned();
    for (from, to) in [
        (" opacity=\"1\"", ""),
        (" stroke=\"none\" stroke-width=\"1\"", ""),
        (" stroke-width=\"1\"", ""),
        (" font-family=\"sans-serif\"", ""),
        (" \"", "\""),
    ] {
        text = text.replace(from, to);
    }
    for (place, name) in NAMES.iter().enumerate() {
        let color = format!("#0102{place:02X}");
        text = text.replace(&format!("fill=\"{color}\""), &format!("class=\"f-{name}\""));
        text = text.replace(&format!("fill=\"none\" stroke=\"{color}\""), &format!("class=\"s-{name}\""));
        text = text.replace(&format!("stroke=\"{color}\""), &format!("class=\"s-{name}\""));
    }
    text
}

/// Fault windows: a strip with a row for each class above the plot, and a light band behind it.
fn bands(page: &Page<'_>, end_s: f64, (x0, x1): (f64, f64), top: u32) -> Markup {
    let x = |ns: u64| x0 + (seconds(ns) / end_s).min(1.0) * (x1 - x0);
    let row_y = |place: usize| 3.0 + (place.min(ROWS_MAX - 1) as u32 * ROW) as f64;
    let bottom = f64::from(top + PLOT_HEIGHT);
    let one = |window: &Window, tag: bool| {
        let place = page.class_place(&window.class);
        let (from, width) = (x(window.start_ns), (x(window.end_ns) - x(window.start_ns)).max(1.5));
        let name = sentence::fault_name(page.story.facts, window);
        let y = row_y(place);
        let (from, width) = ((from * 10.0).round() / 10.0, (width * 10.0).round() / 10.0);
        html! {
            g class={ "fault k" (place % 6) @if !window.landed { " unproven" } } {
                title { (name) ", " (words::moment(window.start_ns, 1)) " to " (words::moment(window.end_ns, 1)) }
                @if tag {
                    rect class="tag" x=(from) y=(y) width=(width) height=(ROW - 3) {}
                    @if width > 42.0 {
                        text class="small halo" x=(from + 4.0) y=(y + 11.0) {
                            (words::cut(&window.label, (width / 6.4) as usize))
                        }
                    }
                } @else {
                    rect class="band" x=(from) y=(y) width=(width) height=(bottom - y) {}
                }
            }
        }
    };
    let shown = || page.measured.figures.windows.iter().take(WINDOWS_MAX);
    html! {
        @for (place, class) in page.classes.iter().take(ROWS_MAX).enumerate() {
            text class="small" x=(x0 - 8.0) y=(row_y(place) + 11.0) text-anchor="end" {
                @if place == ROWS_MAX - 1 && page.classes.len() > ROWS_MAX { "others" } @else {
                    (words::cut(class, 13))
                }
            }
        }
        @for window in shown() { (one(window, false)) }
        @for window in shown() { (one(window, true)) }
    }
}

/// The hatchings of classes of fault, defined once for all drawings.
pub(super) fn hatchings() -> Markup {
    let lines = ["M0 8L8 0", "M0 0L8 8", "M0 4H8", "M4 0V8", "M0 8L8 0M0 0L8 8", "M2 2h2v2h-2z"];
    html! {
        svg class="defs" width="0" height="0" aria-hidden="true" {
            defs {
                @for (place, line) in lines.iter().enumerate() {
                    pattern id={ "hatch-" (place) } class={ "k" (place) }
                        width="8" height="8" patternUnits="userSpaceOnUse" {
                        rect class="hatch-ground" width="8" height="8" {}
                        path class="hatch-line" d=(line) {}
                    }
                }
            }
        }
    }
}

/// Figures under the pointer, as data that no script can break out of.
pub(super) fn hover_data(page: &Page<'_>, series: &Series) -> Markup {
    let figures = &page.measured.figures;
    let us = |ns: u64| ns / 1_000;
    let buckets: Vec<_> = series
        .buckets
        .iter()
        .map(|bucket| {
            let Bucket { ended, latency } = bucket;
            let latency = latency.map(|latency| json!([us(latency.p50_ns), us(latency.p95_ns), us(latency.p99_ns)]));
            json!([ended.ok, ended.fail, ended.info, latency])
        })
        .collect();
    let faults: Vec<_> = figures
        .windows
        .iter()
        .take(WINDOWS_MAX)
        .map(|window| json!([window.start_ns, window.end_ns, sentence::fault_name(page.story.facts, window)]))
        .collect();
    let data = json!({"end_ns": figures.end_ns, "width_ns": series.width_ns, "buckets": buckets, "faults": faults});
    let text = data.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    html! { script type="application/json" id="figures" { (PreEscaped(text)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_fit_what_they_show() {
        for (most, to) in [(0.0, 1.0), (1.0, 1.0), (4.2, 5.0), (230.0, 250.0), (1_234.0, 1_500.0)] {
            assert_eq!(rate_axis(most).to, to, "{most}");
        }
        let axis = latency_axis([500_000, 40_000_000].into_iter());
        assert_eq!((axis.from, axis.to), (-1.0, 2.0));
        assert_eq!(latency_axis(std::iter::empty()).marks.len(), 7);
        assert_eq!([-3.0, -1.0, 0.0, 2.0, 3.0].map(told_log_ms), ["1 µs", "100 µs", "1 ms", "100 ms", "1 s"]);
        for end in [1e-6, 0.3, 1.0, 60.0, 240.0, 241.0, 3_600.0, 1e6, 1.8e10] {
            let marks = time_marks(end);
            assert!((2..=14).contains(&marks.len()), "{end}: {marks:?}");
        }
    }
}
