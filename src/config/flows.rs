//! `[[flow]]` and the documents of `flows_dir` as written, and what they mean (control-apis.md sections 10 and 11).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::Place;
use super::file::{frame_ms, ms};
use super::kinds::{AccountName, Secret};
use super::read::Section;
use super::routes::{JudgeUrl, bots};
use crate::flow::applet::{Applet, Hangup, Stream, Voicebot};
use crate::flow::{Flow, Program, Reconnect, Step, StreamSettings, Track};
use crate::prompt::{self, Prompt};
use crate::stream;

/// Steps of one flow.
const MAX_STEPS: usize = 200;
/// Flows of one configuration.
const MAX_FLOWS: usize = 1000;
/// Characters of a hangup's reason: it stands in a header field.
const MAX_REASON: usize = 64;

/// All flows, and what they brought with them.
#[derive(Default)]
pub(super) struct Flows {
    /// By id.
    pub(super) flows: BTreeMap<String, Flow>,
    /// Audio by the path it was written with.
    pub(super) prompts: BTreeMap<Arc<str>, Prompt>,
    /// Accounts of flows, and where they are written.
    pub(super) accounts: Vec<(String, Place)>,
    /// Flows in which keys are told encrypted, and where that is written.
    pub(super) encrypting: Vec<(String, Place)>,
}

/// What a step does, as it is written.
#[derive(Clone, Copy)]
enum Kind {
    Voicebot,
    Stream,
    Hangup,
}

/// Names of applets.
const KINDS: [(&str, Option<Kind>); 14] = [
    ("voicebot", Some(Kind::Voicebot)),
    ("stream", Some(Kind::Stream)),
    ("hangup", Some(Kind::Hangup)),
    ("greeting", None),
    ("ivr", None),
    ("passthru", None),
    ("connect", None),
    ("switch_case", None),
    ("switchcase", None),
    ("voicemail", None),
    ("transfer", None),
    ("queue", None),
    ("set_flow", None),
    ("setflow", None),
];

/// Types of flows: in this release they are for calls that come in.
const TYPES: [(&str, Option<()>); 9] = [
    ("inbound", Some(())),
    ("customer_queue", None),
    ("customer_hold", None),
    ("customer_whisper", None),
    ("agent_whisper", None),
    ("agent_hold", None),
    ("outbound_whisper", None),
    ("agent_transfer", None),
    ("queue_transfer", None),
];

/// Reads all of them.
pub(super) fn flows(root: &mut Section<'_>, judge: JudgeUrl) -> Flows {
    let _read_with_the_layers: Option<PathBuf> = root.maybe("flows_dir");
    let mut found = Flows::default();
    for section in root.sections("flow") {
        if found.flows.len() == MAX_FLOWS {
            section.refuse("id", format!("there are more than {MAX_FLOWS} flows"), "leave some out");
            break;
        }
        flow(section, judge, &mut found);
    }
    found
}

fn flow(mut flow: Section<'_>, judge: JudgeUrl, found: &mut Flows) {
    let id = flow.required::<String>("id").filter(|id| is_name(&flow, "id", id));
    let (place, account) = (flow.place("account_sid"), flow.maybe::<AccountName>("account_sid"));
    let name = flow.key("name", String::new());
    flow.word("type", (), &TYPES);
    if flow.key("record", false) {
        flow.not_yet("record", "recording");
    }
    if flow.maybe::<String>("on_hangup").is_some() {
        flow.not_yet("on_hangup", "a step after the caller has gone");
    }
    let start = flow.required::<String>("start");
    let steps = flow.named("steps");
    if steps.is_empty() || steps.len() > MAX_STEPS {
        let wrong = format!("{} steps stand in it", steps.len());
        flow.refuse("steps", wrong, format!("write 1 to {MAX_STEPS} of them"));
    }
    let names = order(&flow, start.as_deref(), &steps);
    let encrypts: Vec<Place> = steps.iter().filter_map(|(_, step)| encrypts(step)).collect();
    let read: BTreeMap<String, Step> = steps
        .into_iter()
        .filter_map(|(name, section)| Some((name.clone(), step(section, &name, &names, judge, found)?)))
        .collect();
    let twice = id.as_ref().is_some_and(|id| found.flows.contains_key(id));
    if twice {
        flow.refuse("id", "another flow has this id", "give each its own");
    }
    let whole = read.len() == names.len() && !names.is_empty() && start.is_some();
    let steps: Vec<Step> = names.iter().filter_map(|name| read.get(name).cloned()).collect();
    if whole {
        judge_course(&flow, &names, &steps);
    }
    flow.done();
    let account = account.map(|name| name.0);
    found.accounts.extend(account.clone().map(|account| (account, place)));
    let Some(id) = id.filter(|_| whole && !twice) else { return };
    found.encrypting.extend(encrypts.into_iter().map(|place| (id.clone(), place)));
    found.flows.insert(id.clone(), Flow { id, name, account, names, program: Arc::new(Program { steps }) });
}

/// Names of the steps, the one a call begins with first.
fn order(flow: &Section<'_>, start: Option<&str>, steps: &[(String, Section<'_>)]) -> Vec<String> {
    let mut names: Vec<String> = steps.iter().map(|(name, _)| name.clone()).collect();
    for (name, section) in steps {
        is_name(section, "", name);
    }
    let Some(start) = start else { return names };
    match names.iter().position(|name| name == start) {
        Some(at) => names[..=at].rotate_right(1), // the others in the order of their names
        None => flow.refuse("start", format!("there is no step {start:?}"), nearest(start, &names)),
    }
    names
}

/// A step that is never reached is noted; one after the other without an end is refused.
fn judge_course(flow: &Section<'_>, names: &[String], steps: &[Step]) {
    let next = |at: usize| steps.get(at).and_then(|step| step.next);
    let mut reached = vec![false; steps.len()];
    let mut at = Some(0);
    while let Some(here) = at.filter(|&here| !std::mem::replace(&mut reached[here], true)) {
        at = next(here);
    }
    for (name, _) in names.iter().zip(&reached).filter(|(_, reached)| !**reached) {
        flow.reading.note(format!("flow {}: no way leads to step {name}", flow.shown_id()));
    }
    let goes_on = |at: usize| matches!(steps[at].applet, Applet::Stream(_));
    let (mut at, mut gone) = (Some(0), 0);
    while let Some(here) = at.filter(|&here| goes_on(here)) {
        gone += 1;
        if gone > steps.len() {
            let right = "let a voicebot or a hangup stand among them";
            return flow.refuse("steps", "its steps go round and none of them waits", right);
        }
        at = next(here);
    }
}

/// Reads one step; `names` are those of all steps of its flow.
fn step(
    mut step: Section<'_>,
    name: &str,
    names: &[String],
    judge: JudgeUrl,
    found: &mut Flows,
) -> Option<Step> {
    if !step.has("applet") {
        step.required::<String>("applet");
        return None;
    }
    // what is not in this release has keys of its own, of which nothing is said
    let kind = step.word("applet", None, &KINDS.map(|(word, kind)| (word, kind.map(Some))))?;
    let applet = match kind {
        Kind::Voicebot => voicebot(&mut step, name, judge, found).map(Applet::Voicebot),
        Kind::Stream => fork(&mut step, name, judge).map(Applet::Stream),
        Kind::Hangup => Some(Applet::Hangup(hangup(&mut step))),
    };
    let next = match kind {
        Kind::Voicebot | Kind::Stream => next(&mut step, names),
        Kind::Hangup => None,
    };
    step.done();
    Some(Step { applet: applet?, next })
}

fn next(step: &mut Section<'_>, names: &[String]) -> Option<usize> {
    let next: String = step.maybe("next")?;
    let at = names.iter().position(|name| *name == next);
    if at.is_none() {
        step.refuse("next", format!("there is no step {next:?}"), nearest(&next, names));
    }
    at
}

fn voicebot(step: &mut Section<'_>, name: &str, judge: JudgeUrl, found: &mut Flows) -> Option<Voicebot> {
    let urls = step.required::<Vec<Secret>>("url");
    let all = stream::Config::default();
    for key in ["record", "recording_channels", "recording_format"] {
        if step.known(key) {
            step.not_yet(key, "recording");
        }
    }
    let settings = StreamSettings {
        name: name.to_owned(),
        frame_ms: step.has("frame_ms").then(|| frame_ms(step, all.frame_ms)),
        local_barge_in: step.maybe("local_barge_in"),
        drain_on_close: step
            .has("drain_on_close_ms")
            .then(|| ms(step, "drain_on_close_ms", all.drain_on_close, 0..=60_000)),
        start_extras: step.maybe("start_extras"),
        raw_media_format: step.has("media_format_style").then(|| raw(step)),
        mute_dtmf_audio: step.key("mute_dtmf_audio", false),
        encrypt_dtmf: step.key("encrypt_dtmf", false),
        connecting_audio: audio(step, found),
        ..StreamSettings::default()
    };
    let reconnect = reconnect(step);
    for key in ["frame_ms", "drain_on_close_ms", "media_format_style"] {
        step.known(key);
    }
    let urls = bots(step, "url", urls?, judge)?;
    Some(Voicebot { urls, settings: Arc::new(settings), reconnect })
}

/// Where a step says that keys are told encrypted.
fn encrypts(step: &Section<'_>) -> Option<Place> {
    step.is_true("encrypt_dtmf").then(|| step.place("encrypt_dtmf"))
}

fn fork(step: &mut Section<'_>, name: &str, judge: JudgeUrl) -> Option<Stream> {
    if !step.has("action") {
        step.required::<String>("action");
    }
    let start = step.word("action", true, &[("start", Some(true)), ("stop", Some(false))]);
    if !start {
        return Some(Stream::Stop);
    }
    let url = step.required::<Secret>("url");
    let tracks = [Track::Inbound, Track::Outbound, Track::Mixed].map(|track| (track.as_str(), Some(track)));
    let settings = StreamSettings {
        name: name.to_owned(),
        fork: Some(step.word("track", Track::Inbound, &tracks)),
        skip_ringing: step.key("skip_ringing", false),
        frame_ms: step.has("frame_ms").then(|| frame_ms(step, stream::Config::default().frame_ms)),
        ..StreamSettings::default()
    };
    step.known("frame_ms");
    let url = bots(step, "url", vec![url?], judge)?.pop()?;
    Some(Stream::Start { url, settings: Arc::new(settings) })
}

fn hangup(step: &mut Section<'_>) -> Hangup {
    let reason: Option<String> = step.maybe("reason");
    let fits = |reason: &str| {
        reason.len() <= MAX_REASON
            && reason.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\')
    };
    if reason.as_deref().is_some_and(|reason| !fits(reason)) {
        let right = format!("write at most {MAX_REASON} ASCII characters without quotes and backslashes");
        step.refuse("reason", "it cannot stand in a header field", right);
    }
    Hangup { reason: reason.map(Into::into) }
}

fn raw(step: &mut Section<'_>) -> bool {
    step.word("media_format_style", false, &[("base64", Some(false)), ("raw", Some(true))])
}

/// `reconnect` of a step, or of `stream`.
pub(super) fn reconnect(section: &mut Section<'_>) -> Reconnect {
    section.word("reconnect", Reconnect::No, &[("off", Some(Reconnect::No)), ("next", Some(Reconnect::Next))])
}

/// `connecting_audio`: a WAV file, read now.
fn audio(step: &mut Section<'_>, found: &mut Flows) -> Option<Arc<str>> {
    let path: PathBuf = step.maybe("connecting_audio")?;
    let name: Arc<str> = path.to_string_lossy().into();
    if found.prompts.contains_key(&name) {
        return Some(name);
    }
    let size = std::fs::metadata(&path).map(|file| file.len());
    let read = match size {
        Ok(size) if size > prompt::MAX_FILE => {
            Err(format!("it has {size} octets, more than {}", prompt::MAX_FILE))
        }
        Ok(_) => std::fs::read(&path)
            .map_err(|wrong| format!("{} cannot be read: {wrong}", path.display()))
            .and_then(|file| Prompt::from_wav(&file).map_err(|wrong| wrong.to_string())),
        Err(wrong) => Err(format!("{} cannot be read: {wrong}", path.display())),
    };
    match read {
        Ok(prompt) => {
            found.prompts.insert(Arc::clone(&name), prompt);
            Some(name)
        }
        Err(wrong) => {
            let right = "name a WAV file of 8000 Hz, one channel, 16-bit PCM or G.711, at most 5 MB";
            step.refuse("connecting_audio", wrong, right);
            None
        }
    }
}

/// Ids and names of steps.
fn is_name(section: &Section<'_>, key: &str, name: &str) -> bool {
    let right = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !right {
        section.refuse(
            key,
            format!("{name:?} is no name here"),
            "write 1 to 64 letters, digits, '-', '_' or '.'",
        );
    }
    right
}

/// What may have been meant.
pub(super) fn nearest(name: &str, names: &[String]) -> String {
    let near =
        names.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    near.map_or(String::new(), |near| format!("the nearest name is {near:?}"))
}
