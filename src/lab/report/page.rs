//! The page around the drawings: heading, figures, checks, style and script.

use std::fmt::{Result, Write};

use super::{Report, Text, ladder, timeline};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn html(report: &Report) -> String {
    let mut out = String::with_capacity(1 << 20);
    write(&mut out, report).expect("a String takes everything");
    out
}

fn write(out: &mut String, report: &Report) -> Result {
    let title = Text(&report.title);
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(out, "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>")?;
    writeln!(
        out,
        "<header><div><h1>{title}</h1><p>{}</p></div>{}</header>",
        Text(&report.about),
        verdict(report)
    )?;
    figures(out, report)?;
    writeln!(out, "<section><h2>What was heard</h2>")?;
    timeline::write(out, report)?;
    players(out, report)?;
    writeln!(out, "</section>\n<section><h2>What was said</h2>")?;
    ladder::write(out, report)?;
    writeln!(out, "</section>")?;
    checks(out, report)?;
    writeln!(out, "<script>\n{SCRIPT}</script>\n</body>\n</html>")
}

fn verdict(report: &Report) -> String {
    match (report.checks.iter().find(|check| !check.holds), report.checks.len()) {
        (Some(broken), _) => format!("<p class=\"verdict bad\">Broken: {}</p>", Text(&broken.name)),
        (None, 0) => String::new(),
        (None, 1) => "<p class=\"verdict good\">The 1 check holds</p>".to_owned(),
        (None, count) => format!("<p class=\"verdict good\">All {count} checks hold</p>"),
    }
}

fn figures(out: &mut String, report: &Report) -> Result {
    writeln!(out, "<div class=\"figures\">")?;
    for figure in &report.figures {
        let (value, name) = (Text(&figure.value), Text(&figure.name));
        writeln!(out, "<div class=\"figure\"><b>{value}</b><span>{name}</span></div>")?;
    }
    writeln!(out, "</div>")
}

fn players(out: &mut String, report: &Report) -> Result {
    writeln!(out, "<div class=\"players\">")?;
    for (n, track) in report.tracks.iter().enumerate() {
        let Ok(wav) = track.sound.to_wav() else { continue };
        let data = base64_simd::STANDARD.encode_to_string(wav);
        let name = Text(&track.name);
        write!(out, "<label>{name}<audio controls preload=\"none\" data-track=\"{n}\" ")?;
        writeln!(
            out,
            "data-begins=\"{:.4}\" src=\"data:audio/wav;base64,{data}\"></audio></label>",
            track.begins
        )?;
    }
    writeln!(out, "</div>")
}

fn checks(out: &mut String, report: &Report) -> Result {
    writeln!(
        out,
        "<section><h2>Checks</h2><table><thead><tr><th></th><th>check</th><th>found</th><th>wanted</th></tr></thead><tbody>"
    )?;
    for check in &report.checks {
        let (class, sign) = if check.holds { ("good", "✓") } else { ("bad", "✗") };
        let (name, found, wanted) = (Text(&check.name), Text(&check.found), Text(&check.wanted));
        write!(out, "<tr class=\"{class}\"><td>{sign}</td><td>{name}</td>")?;
        writeln!(out, "<td>{found}</td><td>{wanted}</td></tr>")?;
    }
    writeln!(out, "</tbody></table></section>")
}
