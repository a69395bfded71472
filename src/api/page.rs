//! `/`: a page for people. Nothing is loaded from elsewhere and nothing runs in it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};

use super::{Live, Node};

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem;\
color:#1c2430;background:#fbfbfa}h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .3rem;color:#55606e}\
.state{display:inline-block;padding:.1rem .6rem;border-radius:1rem;color:#fff;background:#1d7f4e}.no{background:#b3261e}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e3e3e0}\
td.n{text-align:right;font-variant-numeric:tabular-nums}p{color:#55606e}\
@media(prefers-color-scheme:dark){body{color:#e6e6e3;background:#16191d}td,th{border-color:#2c3138}h2,p{color:#9aa4b0}}";

/// What is on the line, made anew every 5 s.
pub(super) async fn page<N: Node>(State(node): State<Arc<N>>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFRESH, "5"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(html(&node.live(), &node.ready())))
}

fn html(live: &Live, ready: &Result<(), String>) -> String {
    let mut page = String::with_capacity(4096);
    // Writing to a String does not fail.
    let _ = write(&mut page, live, ready);
    page
}

fn write(page: &mut String, live: &Live, ready: &Result<(), String>) -> fmt::Result {
    let node = Text(&live.node);
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{node} · StreamKit</title>"
    )?;
    write!(page, "<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>")?;
    match ready {
        Ok(()) => write!(page, "<h1>{node} <span class=\"state\">ready</span></h1>")?,
        Err(reason) => write!(page, "<h1>{node} <span class=\"state no\">{}</span></h1>", Text(reason))?,
    }
    page.push_str("<h2>Now</h2><table>");
    for (what, (used, limit)) in [("Calls", live.calls), ("Streams to bots", live.streams)] {
        write!(page, "<tr><th>{what}<td class=\"n\">{used} of {limit}")?;
    }
    write!(page, "<tr><th>RTP ports free<td class=\"n\">{} of {}</table>", live.ports.0, live.ports.1)?;
    counted(page, "Trunks", "calls", &live.trunks)?;
    counted(page, "Accounts", "streams", &live.accounts)?;
    page.push_str("<h2>Bots</h2><table>");
    for bot in &live.bots {
        write!(page, "<tr><td>{}", Text(bot))?;
    }
    let version = env!("CARGO_PKG_VERSION");
    write!(page, "</table><p>StreamKit {version} · /metrics · /healthz · /readyz</p></html>")
}

fn counted(page: &mut String, title: &str, of: &str, rows: &[(String, u32)]) -> fmt::Result {
    write!(page, "<h2>{title}</h2><table>")?;
    for (name, count) in rows {
        write!(page, "<tr><td>{}<td class=\"n\">{count} {of}", Text(name))?;
    }
    page.push_str("</table>");
    Ok(())
}

/// Text in HTML, with nothing of it read as HTML.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_nothing_comes_from_elsewhere() {
        let live = Live {
            node: "<script>x</script>".into(),
            trunks: vec![("a\"b".into(), 3)],
            bots: vec!["b&t".into()],
            ..Live::default()
        };
        let page = html(&live, &Err("draining".into()));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("b&amp;t"));
        assert!(page.contains("a&quot;b<td class=\"n\">3 calls") && page.contains("draining"));
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="));
    }
}
