//! The page that shows a call: one file with everything in it (drawing, script, sound), nothing from outside.
//!
//! ```text
//!   title, verdict          what held and what did not
//!   figures                 times, loss, MOS
//!   time line               what both sides heard, and when what was said, on one axis
//!   ladder                  SIP on the left, the bot's socket on the right, in order of time
//!   checks                  each with what was found and what was wanted
//! ```

mod ladder;
mod page;
mod timeline;

use std::fmt::{self, Display, Write as _};

use super::ladder::Rung;
use super::sound::Sound;

/// Everything the page shows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// Under the heading: when, what, where.
    pub about: String,
    /// Figures a reader looks for first.
    pub figures: Vec<Figure>,
    /// What was asked of the call.
    pub checks: Vec<Check>,
    /// What was heard.
    pub tracks: Vec<Track>,
    /// Stretches of time worth a name.
    pub spans: Vec<Span>,
    /// What happened.
    pub rungs: Vec<Rung>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// With its unit.
    pub value: String,
}

impl Figure {
    /// A figure.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// Something asked of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// What was found.
    pub found: String,
    /// What was wanted.
    pub wanted: String,
    /// Whether it was so.
    pub holds: bool,
}

impl Check {
    /// A check.
    pub fn new(
        name: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        holds: bool,
    ) -> Self {
        Self { name: name.into(), found: found.into(), wanted: wanted.into(), holds }
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, found, wanted, holds } = self;
        write!(f, "{} {name}: {found} (wanted: {wanted})", if *holds { "✓" } else { "✗" })
    }
}

/// Something heard, on the common axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Whose ear.
    pub name: String,
    /// When its first sample was heard, in seconds of the ladder.
    pub begins: f64,
    /// What.
    pub sound: Sound,
}

/// A stretch of time with a name, drawn in the lane of that number (0: what the caller says, 1: the bot).
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// 0 or 1.
    pub lane: usize,
    /// Seconds of the ladder.
    pub from: f64,
    /// Seconds of the ladder.
    pub to: f64,
    /// What is said.
    pub name: String,
}

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        page::html(self)
    }

    /// Seconds the axis shows: a little more than happened.
    fn length(&self) -> f64 {
        let tracks = self.tracks.iter().map(|t| t.begins + t.sound.duration().as_secs_f64());
        let rungs = self.rungs.iter().map(|r| r.at.as_secs_f64());
        let spans = self.spans.iter().map(|s| s.to);
        1.02 * tracks.chain(rungs).chain(spans).fold(1.0, f64::max)
    }
}

/// Text as it stands in HTML, in element and attribute alike; control characters are shown as a dot.
pub(in crate::lab) struct Text<'a>(pub(in crate::lab) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' => f.write_str("&#10;"),
            '\r' => Ok(()),
            c if c.is_control() => f.write_char('·'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::ladder::{Kind, Party};
    use crate::lab::speech::Speech;
    use std::time::Duration;

    fn report() -> Report {
        let rung = |ms, from, to, kind, label: &str| {
            let detail = "<script>alert(1)</script>".to_owned();
            Rung { at: Duration::from_millis(ms), from, to, kind, label: label.to_owned(), detail }
        };
        Report {
            title: "A call".to_owned(),
            about: "for <test>".to_owned(),
            figures: vec![Figure::new("MOS", "4.41")],
            checks: vec![
                Check::new("answered", "200", "200", true),
                Check::new("heard", "0.2", "over 0.9", false),
            ],
            tracks: vec![Track {
                name: "caller heard".to_owned(),
                begins: 0.1,
                sound: Speech::Greeting.sound(),
            }],
            spans: vec![Span { lane: 0, from: 0.5, to: 1.5, name: "speaks".to_owned() }],
            rungs: vec![
                rung(0, Party::Caller, Party::StreamKit, Kind::Message, "INVITE"),
                rung(900, Party::Bot, Party::StreamKit, Kind::Message, "clear & \"more\""),
                rung(950, Party::StreamKit, Party::Bot, Kind::Audio, "50 media"),
                rung(990, Party::StreamKit, Party::Bot, Kind::Remark, "a fault"),
            ],
        }
    }

    #[test]
    fn nothing_of_the_page_is_fetched_from_anywhere() {
        let html = report().html();
        for outside in ["http:", "https:", "src=\"//", "<link", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("src=\"data:audio/wav;base64,UklGR"));
    }

    #[test]
    fn what_came_from_outside_is_text_and_nothing_else() {
        let html = report().html();
        assert!(!html.contains("<script>alert") && html.contains("&lt;script&gt;alert(1)"));
        assert!(html.contains("for &lt;test&gt;") && html.contains("clear &amp; &quot;more&quot;"));
    }

    #[test]
    fn the_first_broken_check_stands_at_the_top() {
        let html = report().html();
        assert!(html.contains("Broken: heard"));
        let mut good = report();
        good.checks.pop();
        assert!(good.html().contains("The 1 check holds"));
    }

    #[test]
    fn every_element_that_is_opened_is_closed() {
        let html = report().html();
        for tag in
            ["svg", "g", "table", "tr", "td", "div", "section", "text", "script", "style", "body", "html"]
        {
            let opened =
                html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn an_empty_report_is_a_page_all_the_same() {
        assert!(Report::default().html().ends_with("</html>\n"));
    }
}
