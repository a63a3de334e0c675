//! The page in a real browser: it says its verdict with and without a script, its drawings have a size, the console is
//! quiet, nothing overflows, and the policy of the page stops a script that got in. Needs Chromium: `SCHISM_CHROMIUM`, or
//! `chromium`, `chromium-browser` or `google-chrome` on the path; without it the tests say so and end.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy does not know that helpers of an integration test are test"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::Told;
use schism_reports::html;

/// What a browser may take; a machine under load is slow.
const DEADLINE: Duration = Duration::from_secs(120);

fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SCHISM_CHROMIUM") {
        let path = PathBuf::from(named);
        assert!(path.is_file(), "SCHISM_CHROMIUM names {}, which is no file", path.display());
        return Some(path);
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        println!("skipped: no Chromium found; name one with SCHISM_CHROMIUM or put chromium on the path");
    }
    found
}

/// Runs the browser on a page in a folder of its own; ends it, and only it, when it takes too long.
fn browse(chromium: &Path, page: &str, width: u32, options: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    std::fs::write(&file, page).unwrap();
    let profile = folder.path().join("profile");
    let mut command = Command::new(chromium);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={width},2000"))
        .args(options)
        .arg(format!("file://{}", file.display()));
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let create = |path: &Path| Stdio::from(std::fs::File::create(path).unwrap());
    let mut child = command.stdin(Stdio::null()).stdout(create(&out)).stderr(create(&err)).spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("Chromium took longer than {DEADLINE:?}: {}", std::fs::read_to_string(&err).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Output { status, stdout: std::fs::read(out).unwrap(), stderr: std::fs::read(err).unwrap() }
}

fn dump(chromium: &Path, page: &str, width: u32, options: &[&str]) -> (String, String) {
    let output = browse(chromium, page, width, &[options, &["--dump-dom"]].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The page in a frame of exact width (a browser window has a least width), with a script beside it that measures it and
/// leaves what it found as JSON. The policy, which forbids such a script, is left out of this copy.
fn probed(page: &str) -> String {
    let start = page.find("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
    let end = start + page[start..].find('>').unwrap() + 1;
    let probe = r#"<script>
        const found = { errors: window.probeErrors };
        const body = document.body;
        body.style.width = body.style.maxWidth = WIDTH + "px";
        document.documentElement.style.width = WIDTH + "px";
        document.documentElement.style.overflow = "hidden";
        found.width = body.scrollWidth;
        found.wide = [...document.querySelectorAll("body *:not(.scroll *):not(.unseen):not(.defs *)")]
            .filter((e) => e.getBoundingClientRect().right > body.getBoundingClientRect().right + 1)
            .map((e) => e.tagName + "." + e.className).slice(0, 5);
        found.drawings = [...document.querySelectorAll("svg.plot, svg.drawing")].map((svg) => {
            const { width, height } = svg.getBoundingClientRect();
            const text = svg.querySelector("text").getBoundingClientRect();
            const isPlot = svg.classList.contains("plot");
            return [Math.round(width), Math.round(height), Math.round(text.height), isPlot];
        });
        found.outside = [...document.querySelectorAll("svg.drawing text")].filter((text) => {
            const own = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
            return own.left < all.left - 1 || own.right > all.right + 1 || own.bottom > all.bottom + 1;
        }).map((text) => text.textContent);
        [found.overlaps, found.crossed, found.cycles] = [[], [], 0];
        for (const svg of document.querySelectorAll("svg.drawing:has(path.edge)")) {
            const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
            if (svg.closest("details:not([open])")) continue;
            found.cycles += 1;
            texts.forEach(([one, a], place) => texts.slice(place + 1).forEach(([other, b]) => {
                const beside = a.right < b.left + 1 || b.right < a.left + 1 || a.bottom < b.top + 1 || b.bottom < a.top + 1;
                if (!beside) found.overlaps.push(one + " / " + other);
            }));
            for (const path of svg.querySelectorAll("path.edge")) {
                for (let at = 0; at < path.getTotalLength(); at += 2) {
                    const { x, y } = path.getPointAtLength(at).matrixTransform(path.getScreenCTM());
                    const hit = texts.filter(([, a]) => x > a.left && x < a.right && y > a.top && y < a.bottom);
                    found.crossed.push(...hit.map(([text]) => text));
                }
            }
        }
        found.theme = document.getElementById("theme").hidden;
        document.getElementById("theme").click();
        document.getElementById("theme").click();
        found.dark = getComputedStyle(body).backgroundColor;
        document.getElementById("theme").click();
        const plot = document.querySelector("svg.plot");
        if (plot) {
            const frame = plot.getBoundingClientRect();
            const middle = { clientX: frame.left + frame.width / 2, clientY: frame.top + 60 };
            plot.dispatchEvent(new PointerEvent("pointermove", middle));
            found.hover = document.getElementById("hover").textContent;
        }
        const left = document.createElement("script");
        left.type = "application/json";
        left.id = "probe";
        left.textContent = JSON.stringify(found).replaceAll("<", "\\u003c");
        body.append(left);
    </script>"#;
    let catcher =
        "<script>window.probeErrors = []; addEventListener('error', (e) => probeErrors.push(e.message));</script>";
    let (head, rest) = (&page[..start], &page[end..]);
    format!("{head}{catcher}{}", rest.replacen("</body>", &format!("{probe}</body>"), 1))
}

fn probe(chromium: &Path, page: &str, width: u32) -> serde_json::Value {
    let (dom, log) = dump(chromium, &probed(page).replace("WIDTH", &width.to_string()), width, &[]);
    let start =
        dom.find("id=\"probe\">").unwrap_or_else(|| panic!("the probe did not run: {log}")) + "id=\"probe\">".len();
    let text = &dom[start..start + dom[start..].find("</script>").unwrap()];
    serde_json::from_str(text).unwrap()
}

fn stories() -> [(&'static str, Told, usize); 5] {
    [
        ("stale", common::stale(), 4),
        ("knot", common::knot(), 4),
        ("unknown", common::unknown(), 3),
        ("empty", common::empty(), 0),
        ("hostile", common::hostile(), 4),
    ]
}

#[test]
fn it_lays_out_at_any_width() {
    let Some(chromium) = chromium() else { return };
    for (name, told, drawings) in stories() {
        let page = html::page(&told.story());
        for width in [1280, 420] {
            let found = probe(&chromium, &page, width);
            assert_eq!(found["errors"], serde_json::json!([]), "{name} at {width}");
            assert!(found["width"].as_u64().unwrap() <= u64::from(width), "{name} at {width}: {found}");
            assert_eq!(found["wide"], serde_json::json!([]), "{name} at {width}");
            assert_eq!(found["outside"], serde_json::json!([]), "{name} at {width}: texts outside of the drawing");
            assert_eq!(found["theme"], false, "{name}: the switch shows");
            assert_eq!(found["dark"], "rgb(21, 24, 28)", "{name}: the switch switches");
            let sizes = found["drawings"].as_array().unwrap();
            assert_eq!(sizes.len(), drawings, "{name}");
            for size in sizes {
                let size: Vec<u64> = (0..3).map(|at| size[at].as_u64().unwrap()).collect();
                assert!(size[0] >= 600 && size[1] > 100 && size[2] >= 6, "{name} at {width}: {sizes:?}");
            }
            if drawings > 0 {
                let hover = found["hover"].as_str().unwrap();
                assert!(hover.contains(" s\nok ") && hover.contains("p99 "), "{name}: {hover}");
            }
        }
    }
}

/// All cycles that are hard to draw, on one page: no text lies over another, no arrow runs through one, wide or narrow.
#[test]
fn cycles_are_drawn_clear() {
    let Some(chromium) = chromium() else { return };
    let told = common::transactions::cycles();
    let pages: Vec<String> = told.iter().map(|told| html::page(&told.story())).collect();
    let figure = |page: &String| {
        let start = page.find("<figure class=\"wide\"><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Drawing of the cycle\"");
        let start = start.unwrap_or_else(|| panic!("no drawing: {page}"));
        page[start..start + page[start..].find("</figure>").unwrap()].to_owned() + "</figure>"
    };
    let others: String = pages[1..].iter().map(figure).collect();
    let page = pages[0].replacen("</main>", &format!("{others}</main>"), 1);
    for width in [1280, 420] {
        let found = probe(&chromium, &page, width);
        assert_eq!(found["cycles"].as_u64(), Some(told.len() as u64), "at {width}");
        for nothing in ["errors", "wide", "outside", "overlaps", "crossed"] {
            assert_eq!(found[nothing], serde_json::json!([]), "{nothing} at {width}");
        }
        assert!(found["width"].as_u64().unwrap() <= u64::from(width), "{found}");
        let sizes = found["drawings"].as_array().unwrap();
        // Letters of 12 px, at least three quarters of them where it is narrow (those of plots are smaller).
        // Where details are closed a drawing may have no size.
        let is_read = |size: &serde_json::Value| size[0] == 0 || size[3] == true || size[2].as_u64().unwrap() >= 9;
        assert!(sizes.iter().any(|size| size[0] != 0 && size[3] == false), "at {width}: {sizes:?}");
        assert!(sizes.iter().all(is_read), "at {width}: {sizes:?}");
    }
}

/// The probe sees what it is there for: a text over another, and an arrow through one.
#[test]
fn what_is_not_clear_is_seen() {
    let Some(chromium) = chromium() else { return };
    let page = html::page(&common::transactions::ring(2, false).story());
    // The first row's text where the second's is.
    let over = page.replacen(" y=\"46.5\"", " y=\"71.5\"", 1);
    assert_ne!(over, page);
    let found = probe(&chromium, &over, 1280);
    assert_ne!(found["overlaps"], serde_json::json!([]), "{found}");
    let through = page.replacen("text-anchor=\"end\" x=\"", "text-anchor=\"middle\" x=\"", 1);
    let found = probe(&chromium, &through, 1280);
    assert_ne!(found["crossed"], serde_json::json!([]), "{found}");
}

#[test]
fn its_console_is_quiet_and_its_script_runs_under_its_own_policy() {
    let Some(chromium) = chromium() else { return };
    for (name, told, _) in stories() {
        let (dom, log) = dump(&chromium, &html::page(&told.story()), 1280, &[]);
        assert!(!log.contains("CONSOLE"), "{name}: {log}");
        assert!(
            dom.contains(">Theme: auto</button>") && !dom.contains("id=\"theme\" type=\"button\" hidden"),
            "{name}"
        );
    }
}

#[test]
fn it_says_its_verdict_without_a_script() {
    let Some(chromium) = chromium() else { return };
    let page = html::page(&common::stale().story()).replacen("script-src '", "script-src 'none'; ignored '", 1);
    let (dom, _) = dump(&chromium, &page, 1280, &[]);
    assert!(dom.contains("<h1>Process 908 read 6 from key 5 on n4 although 7 had been written"), "no verdict");
    assert!(dom.contains("id=\"theme\" type=\"button\" hidden"), "a switch that does nothing does not show");
    assert_eq!(dom.matches("class=\"plot\"").count() + dom.matches("class=\"drawing\"").count(), 4);
}

#[test]
fn its_policy_stops_a_script_that_got_in() {
    let Some(chromium) = chromium() else { return };
    let page = html::page(&common::stale().story());
    let hurt = page.replacen(
        "</body>",
        "<script>document.title = 'got in'</script><img src=x onerror=\"document.title='got in'\"></body>",
        1,
    );
    let (dom, log) = dump(&chromium, &hurt, 1280, &[]);
    assert!(!dom.contains("<title>got in</title>"));
    assert!(
        log.contains("CONSOLE"),
        "a refusal is told in the console, so that the other test's silence means something: {log}"
    );
}

#[test]
fn it_paints_in_light_and_in_dark() {
    let Some(chromium) = chromium() else { return };
    let page = html::page(&common::stale().story());
    let folder = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for scheme in [0, 1] {
        let picture = folder.path().join(format!("{scheme}.png"));
        let options =
            [format!("--screenshot={}", picture.display()), format!("--blink-settings=preferredColorScheme={scheme}")];
        let output = browse(&chromium, &page, 1280, &[&options[0], &options[1]]);
        assert!(output.status.success());
        let bytes = std::fs::read(&picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 50_000, "{} bytes", bytes.len());
        sizes.push(bytes);
    }
    assert_ne!(sizes[0], sizes[1], "light and dark look the same");
}
