//! A text to match, exact or with `*` for any run of characters.

use std::fmt;

/// `0800*`, `*`, `+91*00`, or a text without a star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Every text is a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole text fits. Linear in the text for each star: only the last star ever gives way.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut star = None;
        while let Some(&octet) = text.get(t) {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(&wanted) if wanted == octet => (p, t) = (p + 1, t + 1),
                _ => {
                    let Some((at, took)) = star else { return false };
                    star = Some((at, took + 1));
                    (p, t) = (at + 1, took + 1);
                }
            }
        }
        pattern.get(p..).unwrap_or_default().iter().all(|&octet| octet == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        let fits = |pattern: &str, text| Pattern::new(pattern).matches(text);
        assert!(fits("*", "") && fits("*", "x") && fits("Sales*", "SalesBot") && fits("+91*00", "+910000"));
        assert!(fits("a*b*c", "axxbyybc") && fits("abc", "abc") && fits("**", ""));
        assert!(!fits("Sales*", "sales") && !fits("a*b", "abx") && !fits("", "x") && !fits("abc", "ab"));
    }
}
