//! The ladder as text, 80 columns wide.

use super::{Kind, Rung};

/// Between two of the lines that stand for the parties.
const SPAN: usize = 32;

/// The names over the lines.
pub fn head() -> String {
    format!("{:>8}  {:<SPAN$} {:<SPAN$} {}", "seconds", "caller", "streamkit", "bot")
}

/// Rungs as lines; sums of audio that run on from one side to the other share a line.
pub fn lines(rungs: &[Rung]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = rungs;
    while let Some((rung, after)) = rest.split_first() {
        let beside = after.first().filter(|next| rung.runs_on(next));
        lines.push(line(rung, beside));
        rest = if beside.is_some() { &after[1..] } else { after };
    }
    lines
}

fn line(rung: &Rung, beside: Option<&Rung>) -> String {
    let time = format!("{:>8.3}", rung.at.as_secs_f64());
    if rung.kind == Kind::Remark {
        return format!("{time}  ! {}", rung.label);
    }
    let empty = " ".repeat(SPAN - 1);
    let (left, right) = match (rung.is_sip(), beside) {
        (true, Some(beside)) => (arrow(rung), arrow(beside)),
        (true, None) => (arrow(rung), empty),
        (false, _) => (empty, arrow(rung)),
    };
    format!("{time}  │{left}│{right}│")
}

fn arrow(rung: &Rung) -> String {
    let shaft = if rung.kind == Kind::Audio { "═" } else { "─" };
    let width = SPAN - 1;
    let label: String = rung.label.chars().filter(|c| !c.is_control()).take(width - 5).collect();
    let fill = shaft.repeat(width - 4 - label.chars().count());
    if rung.rightward() { format!("{shaft} {label} {fill}►") } else { format!("◄{fill} {label} {shaft}") }
}

#[cfg(test)]
mod tests {
    use super::super::Party;
    use super::*;
    use std::time::Duration;

    fn rung(from: Party, to: Party, label: &str) -> Rung {
        let at = Duration::from_millis(1234);
        Rung { at, from, to, kind: Kind::Message, label: label.to_owned(), detail: String::new() }
    }

    #[test]
    fn every_line_is_as_wide_as_the_others_and_points_its_way() {
        let rungs = [
            rung(Party::Caller, Party::StreamKit, "INVITE"),
            rung(Party::Bot, Party::StreamKit, "clear"),
            rung(Party::StreamKit, Party::Bot, &"long ".repeat(40)),
        ];
        let drawn = lines(&rungs);
        assert!(drawn.iter().all(|line| line.chars().count() == drawn[0].chars().count()), "{drawn:#?}");
        assert!(drawn[0].starts_with("   1.234  │─ INVITE ──") && drawn[0].contains("►│"));
        assert!(drawn[1].contains("│◄───") && drawn[1].ends_with(" clear ─│"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let drawn = lines(&[rung(Party::Caller, Party::StreamKit, "IN\x1b[31mVITE\n")]);
        assert!(drawn[0].contains("IN[31mVITE"), "{drawn:?}");
    }
}
