//! What a configuration means, and that everything wrong with one is told at its place.

use std::collections::HashMap;

use super::*;
use crate::call::{Dtmf, Ring};
use crate::route::{MissingAccount, Target};
use crate::sip::{Strangers, Transport};

const SMALLEST: &str = r#"
[[trunk]]
name    = "pbx"
peers   = ["192.0.2.10"]
account = "acme1"

[[route]]
trunk = "pbx"
bot   = "wss://key:token@bot.example.com/media?sample-rate=16000"
"#;

fn machine() -> Surroundings {
    Surroundings {
        variables: HashMap::new(),
        cores: vec![0, 1, 2, 3],
        descriptors: 1 << 20,
        host_name: "edge-1".to_owned(),
    }
}

fn read(text: &str) -> Result<Config, Refused> {
    Config::from_text("streamkit.toml", text, &machine())
}

/// The problems of a text, one line each.
fn problems(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => panic!("nothing was found wrong with {text}"),
        Err(Refused(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// The only problem of a text.
fn problem(text: &str) -> String {
    let all = problems(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.into_iter().next().unwrap_or_default()
}

#[test]
fn the_smallest_file_has_every_default() {
    let config = read(SMALLEST).expect("the smallest file of the manual");
    assert_eq!(config.node.name, "edge-1");
    assert_eq!(config.node.drain_timeout, Duration::from_secs(600));
    assert_eq!(config.listen[1].to_string(), "tcp://0.0.0.0:5060");
    assert_eq!(config.media.cores, [1, 2, 3]);
    assert_eq!(config.media.ports, 10_000..=29_999);
    assert_eq!((config.media.dscp, config.sip_dscp), (46, 24));
    assert_eq!(config.call.limits.calls, 5000);
    assert_eq!(config.sip.max_transactions, 20_000);
    assert_eq!(config.sip.trunks[0].transports, [Transport::Udp, Transport::Tcp]);
    assert!(config.sip.trunks[0].nat_contact && !config.sip.trunks[0].force_rport);
    assert_eq!(config.call.trunks[0].access.missing, MissingAccount::Default);
    assert_eq!(config.call.trunks[0].max_call, Duration::from_secs(4 * 3600));
    assert_eq!(config.http.listen[0].to_string(), "127.0.0.1:9464");
    assert_eq!(config.names.bots, ["bot.example.com"]);
    assert!(
        matches!(&config.call.routes.routes[0].target, Target::Bot(urls) if urls.len() == 1 && urls[0].contains("token"))
    );
    assert!(config.notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn a_route_may_have_several_bots() {
    let with =
        |bots: &str| SMALLEST.replace("\"wss://key:token@bot.example.com/media?sample-rate=16000\"", bots);
    let three =
        r#"["wss://k:t@one.example.com/a?x=1", "wss://two.example.com:8443/b", "wss://One.example.com/a"]"#;
    let config = read(&with(three)).expect("three bots");
    assert!(matches!(&config.call.routes.routes[0].target, Target::Bot(urls) if urls.len() == 3));
    assert_eq!(config.names.bot_addresses, ["wss://one.example.com:443/a", "wss://two.example.com:8443/b"]);
    assert!(problem(&with("[]")).contains("route.bot: 0 bots stand in it; write 1 to 8 of them"));
    let nine = format!("[{}]", ["\"wss://a\""; 9].join(", "));
    assert!(problem(&with(&nine)).contains("route.bot: 9 bots stand in it"));
    let second = problem(&with(r#"["wss://a", "wss://k:s3cret@b/#x"]"#));
    assert!(
        second.contains("route.bot: bot 2 of them: 3001 invalid stream url") && !second.contains("s3cret"),
        "{second}"
    );
}

#[test]
fn every_problem_is_told_at_once_each_at_its_place() {
    let text = r#"
[sip]
strangers = "loud"
dscp = 64
advertize = "203.0.113.7"

[stream]
connect_timeout = "10 minutes"
frame_ms = 25

[[trunk]]
name = "p b x"
peers = ["192.0.2.10", "192.0.2.0/40"]

[[route]]
trunk = "pbx"
bot = "ftp://bot"
"#;
    assert_eq!(
        problems(text),
        [
            r#"streamkit.toml:3:1: sip.strangers: "loud" is not known here; right is "403" or "silent""#,
            "streamkit.toml:4:1: sip.dscp: 64 is out of range; right is 0 to 63",
            "streamkit.toml:5:1: sip.advertize: this key is unknown; the nearest known key is sip.advertise",
            r#"streamkit.toml:8:1: stream.connect_timeout: "10 minutes" is no duration; write a number and ms, s, m or h in quotes, as "250ms""#,
            "streamkit.toml:9:1: stream.frame_ms: 25 is no length of a frame; right is 20, 40, 60, 80 or 100",
            "streamkit.toml:11:1: trunk.account: this key is missing; write 1 to 64 letters, digits, '_', '.' or '-'",
            r#"streamkit.toml:12:1: trunk.name: "p b x" is no name of a trunk; write 1 to 64 letters, digits, '-' or '_'"#,
            r#"streamkit.toml:13:24: trunk.peers: "192.0.2.0/40" is no address and no network; write an address or a network, as "192.0.2.10" or "192.0.2.0/24""#,
            r#"streamkit.toml:16:1: route.trunk: there is no trunk "pbx"; write a [[trunk]] of this name"#,
            r#"streamkit.toml:17:1: route.bot: 3001 invalid stream url: it does not begin with wss://, ws://, https:// or http://; as "wss://key:token@bot.example.com/media?sample-rate=16000""#,
        ]
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let all = problems("[sip]\ndscp = \nt1 = \"500ms\nstrangers = \"403\"");
    assert!(all[0].starts_with("streamkit.toml:2:"), "{all:#?}");
    assert!(all.iter().any(|one| one.starts_with("streamkit.toml:3:")), "{all:#?}");
}

#[test]
fn two_trunks_do_not_share_a_name_nor_a_network() {
    let trunk = |name: &str, peers: &str, transports: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\npeers = [{peers}]\naccount = \"a\"\ntransports = [{transports}]\n"
        )
    };
    let both = |one: String, other: String| one + &other;
    let wrong =
        both(trunk("a", "\"10.0.0.0/8\"", "\"udp\""), trunk("b", "\"10.0.0.0/8\"", "\"udp\", \"tcp\""));
    assert!(
        problem(&wrong).starts_with("streamkit.toml:8:1: trunk.peers: 10.0.0.0/8 is a peer of trunk \"a\"")
    );
    let parted = both(trunk("a", "\"10.0.0.0/8\"", "\"udp\""), trunk("b", "\"10.0.0.0/8\"", "\"tcp\""));
    assert!(read(&parted).is_ok());
    let narrower = both(trunk("a", "\"10.0.0.0/8\"", "\"udp\""), trunk("b", "\"10.1.0.0/16\"", "\"udp\""));
    assert!(read(&narrower).is_ok());
    let named = both(trunk("a", "\"10.0.0.1\"", "\"udp\""), trunk("a", "\"10.0.0.2\"", "\"udp\""));
    assert!(problem(&named).starts_with("streamkit.toml:6:1: trunk.name: trunk \"a\" stands already"));
}

#[test]
fn what_is_not_in_this_release_says_so() {
    for (text, key) in [
        ("[http]\ntls.key = \"/k\"", "http.tls.key"),
        ("[hep]\ncollector = \"udp://h:9060\"", "hep.collector"),
        ("[cdr]\nwebhook = \"https://x\"", "cdr.webhook"),
    ] {
        let told = problem(text);
        assert!(told.contains(&format!(": {key}: ")) && told.contains("not in this release"), "{told}");
    }
}

#[test]
fn keys_of_later_features_are_taken_with_a_word() {
    let config = read(&trunk_with("transfer = \"refer\"\ndial_allow = [\"*\"]\n")).expect("later keys");
    for key in ["transfer", "dial_allow"] {
        let word = format!("trunk a: {key} is taken and has no effect yet");
        assert!(config.notes.contains(&word), "{:?}", config.notes);
    }
    assert!(problem(&trunk_with("transfer = \"never\"\n")).contains("right is \"refer\""));
}

/// A trunk `a` with these keys besides.
fn trunk_with(keys: &str) -> String {
    format!(
        "[[trunk]]\nname = \"a\"\naccount = \"a\"\npeers = [\"192.0.2.1\"]\n{keys}[[route]]\nreject = 603\n"
    )
}

#[test]
fn a_trunk_says_how_it_is_called_and_who_must_say_who_they_are() {
    let config = read(&trunk_with(
        "session_timer = 0\noptions_ping = \"60s\"\nfollow_redirect = true\ndtmf = \"inband\"\nhold_audio = \"pass\"\n\
         digest_users = [{ user = \"u\", password = \"p\" }]\n\
         targets = [{ uri = \"sbc.example.com;transport=tcp\", priority = 2, weight = 3, user = \"me\", password = \"s\", realm = \"r\" },\
                    { uri = \"192.0.2.9:5070\" }]\n",
    ))
    .expect("a trunk");
    let (sip, call) = (&config.sip.trunks[0], &config.call.trunks[0]);
    assert_eq!((sip.session_timer, sip.options_ping), (Duration::ZERO, Duration::from_secs(60)));
    assert!(sip.follow_redirect && call.hold_passes);
    assert_eq!(call.dtmf, Dtmf::Inband);
    assert_eq!((sip.digest_users[0].user.as_str(), sip.digest_users[0].password.as_str()), ("u", "p"));
    let first = &sip.targets[0];
    assert_eq!(
        (first.host.as_str(), first.port, first.transport),
        ("sbc.example.com", None, Some(Transport::Tcp))
    );
    assert_eq!((first.priority, first.weight), (2, 3));
    assert_eq!(first.credentials.as_ref().and_then(|own| own.realm.as_deref()), Some("r"));
    assert_eq!((sip.targets[1].host.as_str(), sip.targets[1].port), ("192.0.2.9", Some(5070)));
    assert!(config.notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn what_is_wrong_with_a_trunk_is_told_where_it_stands() {
    for (keys, told) in [
        ("targets = [{ uri = \"\" }]\n", "5:14: trunk.targets.uri: \"\" is neither a name nor an address"),
        (
            "targets = [{ uri = \"h;transport=tls\" }]\n",
            "trunk.targets.uri: tls is none of the trunk's transports",
        ),
        ("targets = [{ uri = \"h\", user = \"me\" }]\n", "trunk.targets.user: user and password go together"),
        ("targets = [{ uri = \"h\", realm = \"r\" }]\n", "trunk.targets.user: user and password go together"),
        ("digest_users = [{ user = \"u\" }]\n", "trunk.digest_users.password: this key is missing"),
        ("digest_users = [{ user = \"a:b\", password = \"p\" }]\n", "trunk.digest_users.user: "),
        ("transports = [\"tls\"]\n", "5:1: trunk.transports: tls is none of the listeners"),
        ("srtp = \"required\"\n", "5:1: trunk.srtp: keys are taken over TLS only"),
        ("session_timer = \"30s\"\n", "right is \"90s\" to \"86400s\", or 0"),
        ("tls_names = [\"a b\"]\n", "trunk.tls_names: \"a b\" is no name of a host"),
    ] {
        let problem = problem(&trunk_with(keys));
        assert!(problem.contains(told), "{problem}");
    }
    let secret = problem(&trunk_with("digest_users = [{ user = \"u\", password = \"s3cret\\u0007\" }]\n"));
    assert!(!secret.contains("s3cret"), "{secret}");
}

#[test]
fn keys_of_srtp_in_the_clear_are_said_to_be() {
    let notes = |keys| read(&trunk_with(keys)).expect("a trunk").notes.join("\n");
    assert!(notes("srtp = \"optional\"\nsrtp_without_tls = true\n").contains("hear the calls"));
    assert!(notes("srtp = \"optional\"\n").contains("srtp has no effect without tls"));
    assert!(notes("srtp_without_tls = true\n").contains("srtp_without_tls has no effect"));
}

/// `[sip]` with TLS on a free port and these keys of `sip.tls` besides.
fn over_tls(dir: &Path, keys: &str) -> String {
    let made =
        rcgen::generate_simple_self_signed(vec!["node.example.com".to_owned()]).expect("a certificate");
    std::fs::write(dir.join("node.pem"), made.cert.pem()).expect("a file");
    std::fs::write(dir.join("node.key"), made.signing_key.serialize_pem()).expect("a file");
    let dir = dir.display();
    format!(
        "[sip]\nlisten = [\"udp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
         tls.certificate = \"{dir}/node.pem\"\n{keys}"
    )
}

#[test]
fn tls_needs_a_certificate_and_the_key_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().display();
    let trunk = trunk_with("transports = [\"tls\"]\ntls_names = [\"pbx.example.com\"]\n");
    let key = format!("tls.key = \"{path}/node.key\"\n");
    let right = over_tls(dir.path(), &key) + &trunk;
    let config = read(&right).expect("TLS");
    assert_eq!(config.sip_tls.expect("files").own.expect("ours").0, dir.path().join("node.pem"));
    assert!(config.notes[0].contains("tls_names count for servers we call alone"), "{:?}", config.notes);

    let none = "[sip]\nlisten = [\"tls://127.0.0.1:5061\"]\n".to_owned() + &trunk;
    assert!(problem(&none).contains("sip.tls.certificate: tls:// in sip.listen needs it"));
    assert!(
        problem(&(over_tls(dir.path(), "") + &trunk)).contains("sip.tls.key: a certificate and its key go")
    );
    let missing = over_tls(dir.path(), "tls.key = \"/nowhere.key\"\n") + &trunk;
    let told = problem(&missing);
    assert!(
        told.starts_with("streamkit.toml:4:") && told.contains("sip.tls.key: /nowhere.key: No such file"),
        "{told}"
    );
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    std::fs::write(dir.path().join("other.key"), other).expect("a file");
    let foreign = over_tls(dir.path(), &format!("tls.key = \"{path}/other.key\"\n")) + &trunk;
    assert!(problem(&foreign).contains("sip.tls.key: it is not the key of the certificate"));
    let one_port = "[sip]\nlisten = [\"tcp://127.0.0.1:5061\", \"tls://127.0.0.1:5061\"]\n";
    assert!(problems(one_port).iter().any(|one| one.contains("cannot share 127.0.0.1:5061")));
}

#[test]
fn limits_of_connections_and_strangers_are_keys() {
    let text = "[sip]\nidle_timeout = \"120s\"\nstranger_timeout = \"5s\"\n[limits]\nconnections = 100\n\
                source_connections = 2\ntrunk_connections = 50\nstranger_answers = 1\nstrangers_per_second = 9\n";
    let config = read(text).expect("limits");
    let limits = config.sip_limits;
    assert_eq!((limits.connections, limits.of_stranger, limits.of_trunk), (100, 2, 50));
    assert_eq!((limits.idle.as_secs(), limits.stranger_idle.as_secs()), (120, 5));
    assert_eq!((config.sip.stranger_answers, config.sip.strangers_per_second), (1, 9));
    assert!(problem("[limits]\nconnections = 100\n").contains("one address may have more than all together"));
}

#[test]
fn http_beyond_loopback_is_refused() {
    assert!(problem("[http]\nlisten = [\"0.0.0.0:9464\"]").contains("needs TLS"));
    assert!(read("[http]\nlisten = [\"[::1]:9464\"]").is_ok());
}

#[test]
fn a_secret_is_kept_elsewhere_and_never_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("bot-url"), "wss://k:s3cret@bot.example.com/\n").expect("a file");
    let mut machine = machine();
    machine.variables.insert("CREDENTIALS_DIRECTORY".into(), dir.path().display().to_string());
    let text = SMALLEST.replace(
        "\"wss://key:token@bot.example.com/media?sample-rate=16000\"",
        "{ credential = \"bot-url\" }",
    );
    let config = Config::from_text("f", &text, &machine).expect("a credential");
    assert!(
        matches!(&config.call.routes.routes[0].target, Target::Bot(urls) if *urls == ["wss://k:s3cret@bot.example.com/"])
    );
    let refused =
        Config::from_text("f", &text.replace("bot-url", "../bot-url"), &machine).expect_err("a way out");
    assert!(refused.to_string().contains("systemd gave no credential"), "{refused}");
    let wrong = problem("[[route]]\nbot = \"ftp://k:s3cret@bot\"");
    assert!(!wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn the_environment_comes_last_and_is_named() {
    let mut machine = machine();
    let mut set = |name: &str, value: &str| machine.variables.insert(name.to_owned(), value.to_owned());
    set("STREAMKIT__SIP__STRANGERS", "silent");
    set("STREAMKIT__SIP__LISTEN", "udp://127.0.0.1:0, tcp://127.0.0.1:0");
    set("STREAMKIT__LIMITS__CALLS", "7");
    set("STREAMKIT__MEDIA__JITTER__MAX", "100ms");
    set("STREAMKIT__LOG__MASK_NUMBERS", "true");
    let config = Config::from_text("f", "[sip]\nstrangers = \"403\"", &machine).expect("an environment");
    assert_eq!(config.sip.strangers, Strangers::Silent);
    assert_eq!((config.listen.len(), config.call.limits.calls), (2, 7));
    assert_eq!(config.media.jitter_max, Duration::from_millis(100));
    assert!(config.log.mask_numbers);
    machine.variables.insert("STREAMKIT__LIMITS__CALLS".into(), "many".into());
    let refused = Config::from_text("f", "", &machine).expect_err("no number");
    assert!(
        refused.to_string().starts_with("environment STREAMKIT__LIMITS__CALLS: limits.calls: \"many\""),
        "{refused}"
    );
}

#[test]
fn files_of_conf_d_replace_keys_and_add_trunks() {
    let dir = tempfile::tempdir().expect("a directory");
    let conf_d = dir.path().join("conf.d");
    std::fs::create_dir(&conf_d).expect("a directory");
    let main = dir.path().join("streamkit.toml");
    std::fs::write(&main, format!("[log]\nlevel = \"warn\"\n{SMALLEST}")).expect("a file");
    std::fs::write(conf_d.join("20-b.toml"), "[log]\nlevel = \"debug\"\n").expect("a file");
    std::fs::write(
        conf_d.join("10-a.toml"),
        "[log]\nlevel = \"error\"\n[[trunk]]\nname = \"two\"\naccount = \"b\"\n",
    )
    .expect("a file");
    std::fs::write(conf_d.join("notes.txt"), "no TOML").expect("a file");
    let config = Config::load(&main).expect("three files");
    assert_eq!(config.log.level, tracing_subscriber::filter::LevelFilter::DEBUG);
    assert_eq!(config.names.trunks, ["pbx", "two"]);
    std::fs::write(conf_d.join("30-c.toml"), "[log]\n\nlevel = 5\n").expect("a file");
    let refused = Config::load(&main).expect_err("a wrong level").to_string();
    assert!(refused.contains("conf.d/30-c.toml:3:1: log.level: "), "{refused}");
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let refused = Config::load(Path::new("/nonexistent/streamkit.toml")).expect_err("no file");
    assert_eq!(refused.0.len(), 1, "{refused}");
    assert!(refused.to_string().contains("/nonexistent/streamkit.toml cannot be read"));
}

#[test]
fn limits_fit_the_machine_or_are_refused() {
    let small = Surroundings { descriptors: 1024, ..machine() };
    let config = Config::from_text("f", "", &small).expect("a default that fits");
    assert_eq!(config.call.limits.calls, 170);
    assert!(config.notes.iter().any(|note| note.contains("limits.calls is 170")));
    let refused = Config::from_text("f", "[limits]\ncalls = 5000", &small).expect_err("too many");
    assert!(refused.to_string().contains("5000 calls need 15512 file descriptors"), "{refused}");
    assert!(problem("[media]\nports = \"10000-10999\"\n[limits]\ncalls = 500").contains("and a tenth spare"));
}

#[test]
fn a_listener_does_not_stand_in_the_ports_of_media() {
    assert!(
        problem("[media]\nports = \"5000-6001\"\n[limits]\ncalls=10")
            .contains("port 5060 lies in media.ports")
    );
}

#[test]
fn cores_are_those_of_the_machine() {
    assert_eq!(read("[media]\ncores = [2, 3]").expect("two cores").media.cores, [2, 3]);
    assert!(problem("[media]\ncores = [2, 9]").contains("there is no core 9"));
    assert!(problem("[media]\ncores = \"all\"").contains("right is \"auto\""));
    let two = Surroundings { cores: vec![0, 1], ..machine() };
    let config = Config::from_text("f", "", &two).expect("two cores");
    assert_eq!((config.media.cores, config.names.cores), (vec![1], vec![1]));
}

#[test]
fn a_word_may_be_written_as_the_number_it_looks_like() {
    let config = read("[[trunk]]\nname = \"a\"\naccount = \"a\"\nring = 183").expect("a ring");
    assert_eq!(config.call.trunks[0].ring, Ring::EarlyMedia);
}

/// The shipped file, and the same with every key uncommented.
fn shipped() -> (String, String) {
    let file = include_str!("../../conf/streamkit.toml").to_owned();
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let bare = |line: &str| if is_key(&line) { line[1..].to_owned() } else { line.to_owned() };
    let open = file.lines().map(bare).collect::<Vec<_>>().join("\n");
    (file, open)
}

#[test]
fn the_shipped_file_is_right_and_changes_nothing() {
    let (file, _) = shipped();
    assert_eq!(
        format!("{:?}", read(&file).expect("the shipped file")),
        format!("{:?}", read("").expect("nothing"))
    );
}

#[test]
fn the_shipped_file_shows_every_key_with_its_default() {
    let (_, open) = shipped();
    // What has no default, or one of the machine, is an example there.
    let examples = [
        "advertise = ",
        "bind = ",
        "user_agent = ",
        "ca_file = ",
        "client_",
        "bot = { credential",
        "tls.",
        "targets = [",
        "dtmf_key = ",
    ];
    let keep = |line: &&str| !examples.iter().any(|example| line.starts_with(example));
    let open = open
        .lines()
        .filter(keep)
        .collect::<Vec<_>>()
        .join("\n")
        .replace("account = \"acme1\"\nheader", "bot = \"wss://b\"\nheader");
    let shown = read(&open).unwrap_or_else(|refused| panic!("{refused}"));
    let plain = read("").expect("nothing");
    assert_eq!(format!("{:?}", shown.media), format!("{:?}", plain.media));
    let keys = |config: &Config| {
        let sip = &config.sip;
        format!(
            "{:?}",
            (&config.sip_limits, config.sip_dscp, sip.t1, sip.stranger_answers, sip.strangers_per_second)
        )
    };
    assert_eq!(keys(&shown), keys(&plain));
    assert_eq!(format!("{:?}", shown.call.stream), format!("{:?}", plain.call.stream));
    assert_eq!(
        format!("{:?}", (shown.node, shown.http, shown.log)),
        format!("{:?}", (plain.node, plain.http, plain.log))
    );
    let sbc = shown.sip.trunks.last().expect("the full trunk").clone();
    let default =
        crate::sip::Trunk { name: sbc.name.clone(), peers: sbc.peers.clone(), ..crate::sip::Trunk::new("") };
    assert_eq!(format!("{sbc:?}"), format!("{default:?}"));
    let sbc = shown.call.trunks.last().expect("the full trunk").clone();
    let default = call::Trunk {
        name: sbc.name.clone(),
        access: sbc.access.clone(),
        max_calls: Some(500),
        max_cps: Some(20),
        ..call::Trunk::new("", "")
    };
    assert_eq!(format!("{sbc:?}"), format!("{default:?}"));
}

#[test]
fn the_shipped_file_names_every_key_that_is_known() {
    let (_, open) = shipped();
    for key in [
        "drain_timeout",
        "strangers",
        "jitter.max",
        "metrics_allow",
        "source_requests_per_second",
        "mask_numbers",
        "max_pending_marks",
        "local_barge_in",
        "start_extras",
        "reconnect",
        "media_format_style",
        "uui_decode",
        "nat_contact",
        "missing_account",
        "privacy_to_bot",
        "identity_style",
        "tls.certificate",
        "tls.key",
        "tls.client_ca",
        "tls.ca_file",
        "idle_timeout",
        "stranger_timeout",
        "connections",
        "trunk_connections",
        "stranger_answers",
        "tls_names",
        "targets",
        "digest_users",
        "digest_algorithms",
        "session_timer",
        "options_ping",
        "follow_redirect",
        "dtmf",
        "srtp",
        "srtp_without_tls",
        "hold_audio",
    ] {
        assert!(open.contains(&format!("\n{key} = ")), "{key} is missing");
    }
}

#[test]
fn a_bot_may_be_asked_for_first() {
    let text = SMALLEST.replace(
        "wss://key:token@bot.example.com/media?sample-rate=16000",
        "https://k:s3cret@Who.example/bots?t=s3cret",
    );
    let config = read(&text).expect("a dynamic URL");
    assert_eq!(
        (&config.names.bots[..], &config.names.bot_addresses[..]),
        (&["Who.example".to_owned()][..], &["https://who.example:443/bots".to_owned()][..])
    );
    assert_eq!(config.call.fetch.allow[..], [Allowed::Host("Who.example".into())]);
    assert_eq!(
        (config.call.fetch.timeout, config.call.fetch.plain),
        (Duration::from_secs(5), stream::PlainWs::Private)
    );
    let slow =
        read(&format!("[stream]\nurl_timeout = \"15s\"\nallow_plain_ws = \"none\"\n{text}")).expect("15 s");
    assert_eq!(
        (slow.call.fetch.timeout, slow.call.fetch.plain),
        (Duration::from_secs(15), stream::PlainWs::None)
    );
    assert!(
        problem("[stream]\nurl_timeout = \"16s\"").contains("stream.url_timeout: \"16s\" is out of range")
    );
    let fragment = problem(&text.replace("?t=s3cret", "#s3cret"));
    assert!(
        fragment.contains("route.bot: 3001 invalid stream url: it has a fragment")
            && !fragment.contains("s3cret@")
    );
}

#[test]
fn egress_allow_takes_hosts_names_below_one_addresses_and_networks() {
    let text = "[egress]\nallow = [\"Bots.internal\", \"*.corp.example\", \"10.1.0.0/16\", \"192.0.2.7\", \"fd00::/8\"]\n";
    let config = read(text).expect("a list");
    let shown: Vec<String> = config.egress.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["Bots.internal", "*.corp.example", "10.1.0.0/16", "192.0.2.7/32", "fd00::/8"]);
    for (entry, said) in [
        ("10.1.2.3/16", "has bits beyond its prefix"),
        ("10.1.2", "is no address and no network"),
        ("*", "is no host and no network; write a host, \"*.example.com\""),
        ("a.*.example", "is no host and no network"),
        ("https://bots.internal/", "is no host and no network"),
        ("bots.internal:8080", "is no address and no network"),
    ] {
        let told = problem(&format!("[egress]\nallow = [\"{entry}\"]"));
        assert!(told.starts_with("streamkit.toml:2:") && told.contains(said), "{told}");
    }
    let (_, changes) = config.succeed(&read("").expect("nothing")).expect("a successor");
    assert_eq!(changes, ["egress"]);
}

#[test]
fn an_account_has_a_dialect_and_a_key_that_is_never_shown() {
    let hex = "0f".repeat(32);
    let account = |lines: &str| format!("{SMALLEST}\n[[account]]\nsid = \"acme1\"\n{lines}\n");
    let config = read(&account(&format!("dialect = \"legacy\"\ndtmf_key = \"{hex}\"\nmax_streams = 3")))
        .expect("an account");
    let settings = config.call.account("acme1");
    assert_eq!(settings.dialect, call::Dialect::Legacy);
    assert_eq!(settings.dtmf_key, stream::DtmfKey::parse(&hex).ok());
    assert_eq!(config.call.limits.account_streams["acme1"], 3);
    assert_eq!(config.call.account("other"), call::AccountSettings::default());
    assert!(!format!("{config:?}").contains("0f0f"), "it is never printed");
    let short = problem(&account("dtmf_key = \"0f0f\""));
    assert!(
        short.contains(
            "account.dtmf_key: it is not 32 octets in hexadecimal or base64; write 32 random octets"
        ) && !short.contains("0f0f")
    );
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("key");
    std::fs::write(&path, format!("{hex}\n")).expect("a file");
    let kept = read(&account(&format!("dtmf_key = {{ file = {path:?} }}"))).expect("a key in a file");
    assert_eq!(kept.call.account("acme1").dtmf_key, settings.dtmf_key);
    assert!(problem(&account("dialect = \"old\"")).contains("right is \"full\" or \"legacy\""));
    let other = read(&account(&format!("dtmf_key = \"{}\"", "0e".repeat(32)))).expect("another key");
    assert_eq!(other.succeed(&kept).expect("a successor").1, ["accounts"], "a key is a change");
}

#[test]
fn a_legacy_account_is_held_to_its_limits_where_it_can_be_known() {
    let text = |bot: &str, route: &str| {
        let text = SMALLEST.replace("wss://key:token@bot.example.com/media?sample-rate=16000", bot);
        format!("{text}{route}\n[[account]]\nsid = \"acme1\"\ndialect = \"legacy\"\n")
    };
    let (three, four) = ("wss://h/?a=1&b=2&c=3&sample-rate=16000", "wss://h/?a=1&b=2&c=3&d=4");
    assert!(read(&text(three, "")).is_ok());
    let told = problem(&text(four, ""));
    assert!(
        told.starts_with("streamkit.toml:9:1: route.bot: account \"acme1\" is of the dialect \"legacy\""),
        "{told}"
    );
    let both =
        text(four, "account = \"acme2\"").replace("account = \"acme1\"", "accounts = [\"acme1\", \"acme2\"]");
    assert!(read(&both).is_ok(), "calls of acme1 do not come by this route");
}

#[test]
fn keys_cannot_be_encrypted_without_a_key() {
    let encrypts = |rest: &str| format!("[stream]\nencrypt_dtmf = true\n{SMALLEST}{rest}");
    let told = problem(&encrypts(""));
    assert!(
        told.starts_with("streamkit.toml:2:1: stream.encrypt_dtmf: keys are to be encrypted, and account \"acme1\" has no dtmf_key"),
        "{told}"
    );
    let key = "00".repeat(32);
    assert!(read(&encrypts(&format!("[[account]]\nsid = \"acme1\"\ndtmf_key = \"{key}\""))).is_ok());
}

// ---- flows ----

const FLOW: &str = r#"
[[trunk]]
name = "pbx"
peers = ["192.0.2.10"]
accounts = ["acme1", "acme2"]

[[route]]
trunk = "pbx"
flow = "support"

[[flow]]
id = "support"
account_sid = "acme2"
start = "listen"
[flow.steps.listen]
applet = "stream"
action = "start"
url = "wss://k:s3cret@ears.example.com/in"
track = "mixed"
skip_ringing = true
next = "bot"
[flow.steps.bot]
applet = "voicebot"
url = ["wss://one.example.com/a", "wss://two.example.com/"]
frame_ms = 40
drain_on_close_ms = 0
local_barge_in = true
start_extras = false
media_format_style = "raw"
reconnect = "next"
next = "bye"
[flow.steps.bye]
applet = "hangup"
reason = "done"
"#;

#[test]
fn a_flow_is_read_whole() {
    use crate::flow::applet::{Applet, Stream};
    use crate::flow::{Reconnect, Track};
    let config = read(FLOW).expect("a flow");
    let flow = &config.call.flows["support"];
    assert_eq!(flow.names, ["listen", "bot", "bye"]);
    let next: Vec<_> = flow.program.steps.iter().map(|step| step.next).collect();
    assert_eq!(next, [Some(1), Some(2), None]);
    let Applet::Stream(Stream::Start { settings, .. }) = &flow.program.steps[0].applet else { panic!() };
    assert_eq!((settings.fork, settings.skip_ringing, settings.frame_ms), (Some(Track::Mixed), true, None));
    let Applet::Voicebot(bot) = &flow.program.steps[1].applet else { panic!() };
    let set = &bot.settings;
    assert_eq!((set.frame_ms, set.drain_on_close), (Some(40), Some(Duration::ZERO)));
    assert_eq!(
        (set.local_barge_in, set.start_extras, set.raw_media_format),
        (Some(true), Some(false), Some(true))
    );
    assert_eq!((bot.urls.len(), bot.reconnect, set.name.as_str()), (2, Reconnect::Next, "bot"));
    assert!(
        matches!(&flow.program.steps[2].applet, Applet::Hangup(hangup) if hangup.reason.as_deref() == Some("done"))
    );
    assert_eq!(config.call.routes.routes[0].account.as_deref(), Some("acme2"), "its account's calls alone");
    assert_eq!(config.names.bots, ["ears.example.com", "one.example.com", "two.example.com"]);
    assert!(config.notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn what_is_wrong_with_a_flow_is_told_at_its_place() {
    let with = |from: &str, to: &str| {
        assert!(FLOW.contains(from), "{from}");
        problem(&FLOW.replace(from, to))
    };
    for (from, to, told) in [
        (
            "next = \"bye\"",
            "next = \"bie\"",
            "flow.steps.bot.next: there is no step \"bie\"; the nearest name is \"bye\"",
        ),
        ("start = \"listen\"", "start = \"lisen\"", "flow.start: there is no step \"lisen\""),
        (
            "url = \"wss://k:s3cret@ears.example.com/in\"",
            "url = \"wss://h/#x\"",
            "flow.steps.listen.url: 3001 invalid stream url",
        ),
        ("frame_ms = 40", "frame_ms = 30", "flow.steps.bot.frame_ms: 30 is no length of a frame"),
        (
            "applet = \"hangup\"\nreason = \"done\"",
            "applet = \"greeting\"",
            "flow.steps.bye.applet: \"greeting\" is not in this release",
        ),
        ("frame_ms = 40", "record = true", "flow.steps.bot.record: recording is not in this release"),
        (
            "reason = \"done\"",
            "reason = \"a \\\" b\"",
            "flow.steps.bye.reason: it cannot stand in a header field",
        ),
        (
            "track = \"mixed\"",
            "trak = \"mixed\"",
            "flow.steps.listen.trak: this key is unknown; the nearest known key is flow.steps.listen.track",
        ),
        ("account_sid = \"acme2\"", "account_sid = \"acme3\"", "account"),
        ("track = \"mixed\"", "track = \"left\"", "flow.steps.listen.track: \"left\" is not known here"),
        (
            "frame_ms = 40",
            "connecting_audio = \"/nowhere.wav\"",
            "flow.steps.bot.connecting_audio: /nowhere.wav cannot be read",
        ),
        (
            "frame_ms = 40",
            "encrypt_dtmf = true",
            "flow.steps.encrypt_dtmf: keys are to be encrypted, and account \"acme2\" has no dtmf_key",
        ),
    ] {
        let text = FLOW.replace(from, to);
        assert_ne!(text, FLOW, "{from}");
        let all = problems(&text);
        assert!(
            all.iter().any(|problem| problem.contains(told) && problem.starts_with("streamkit.toml:")),
            "{told}: {all:#?}"
        );
        assert!(!all.iter().any(|problem| problem.contains("s3cret")));
    }
    let round = with("next = \"bot\"", "next = \"listen\"");
    assert!(round.contains("flow.steps: its steps go round and none of them waits"), "{round}");
    assert!(
        problem(&FLOW.replace("flow = \"support\"", "flow = \"suport\""))
            .contains("there is no flow \"suport\"")
    );
    let twice =
        format!("{FLOW}\n[[flow]]\nid = \"support\"\nstart = \"a\"\nsteps.a = {{ applet = \"hangup\" }}\n");
    assert!(problem(&twice).contains("flow.id: another flow has this id"));
    let lonely = read(&FLOW.replace("next = \"bye\"\n", "")).expect("a flow");
    assert_eq!(lonely.notes, ["flow support: no way leads to step bye"]);
}

#[test]
fn a_directory_of_flows_is_read_in_toml_and_json() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
    write("a.toml", "id = \"a\"\nstart = \"bye\"\n[steps.bye]\napplet = \"hangup\"\n");
    let json = r#"{"id": "b", "type": "inbound", "record": false, "start": "bot",
 "steps": {"bot": {"applet": "voicebot", "url": "wss://b.example.com/", "next": "bye"},
  "bye": {"applet": "hangup"}}}"#;
    write("b.json", json);
    write("README", "no flow");
    let trunk = "[[trunk]]\nname = \"pbx\"\naccount = \"x\"\n";
    let text = |ids: &[&str]| {
        let routes: String = ids.iter().map(|id| format!("[[route]]\nflow = \"{id}\"\n")).collect();
        format!("flows_dir = {:?}\n{trunk}{routes}", dir.path())
    };
    let config = read(&text(&["a", "b"])).expect("two flows");
    assert_eq!(config.call.flows["b"].names, ["bot", "bye"]);
    assert!(config.call.flows["b"].program.urls().eq(["wss://b.example.com/"]));
    write("b.json", &json.replace("\"next\": \"bye\"", "\"next\": \"by\""));
    let told = problems(&text(&["a"])).join("\n");
    assert!(
        told.contains("b.json:2:") && told.contains("flow.steps.bot.next: there is no step \"by\""),
        "{told}"
    );
    write("b.json", &json.replace("\"start\"", "start"));
    let told = problem(&text(&["a"]));
    assert!(told.contains("b.json:1:") && told.contains("this is no JSON"), "{told}");
    assert!(
        problem("flows_dir = \"/nowhere/at/all\"\n").contains("flows_dir: /nowhere/at/all cannot be read")
    );
}

#[test]
fn audio_of_a_flow_is_read_and_judged_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.wav");
    let samples = vec![100; 800];
    let mut file = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("a writer");
    samples.iter().for_each(|sample| writer.write_sample(*sample as i16).expect("room"));
    writer.finalize().expect("room");
    std::fs::write(&path, file.into_inner()).expect("a file");
    let text = FLOW.replace("frame_ms = 40", &format!("connecting_audio = {path:?}"));
    let config = read(&text).expect("audio");
    let prompt = config.call.prompts.values().next().expect("a prompt");
    assert_eq!(prompt.length(), Duration::from_millis(100));
    std::fs::write(&path, b"ID3").expect("a file");
    assert!(problem(&text).contains("flow.steps.bot.connecting_audio: this is no WAV file"));
    std::fs::write(&path, vec![0; 5_000_001]).expect("a file");
    assert!(problem(&text).contains("more than 5000000"));
    assert!(read(&text).is_err());
}

#[test]
fn flows_are_reloaded_and_the_change_is_named() {
    let old = read(FLOW).expect("a flow");
    let (same, changes) = read(FLOW).expect("a flow").succeed(&old).expect("no restart");
    assert!(changes.is_empty(), "{changes:?}");
    let changed = read(&FLOW.replace("track = \"mixed\"", "track = \"outbound\"")).expect("a flow");
    assert_eq!(changed.succeed(&same).expect("no restart").1, ["flows"]);
}
