//! The bot against a WebSocket client that plays StreamKit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::lab::sound::Sound;
use crate::units::SampleRate;

const START: &str = r#"{"event":"start","sequence_number":"1","stream_sid":"b6","start":{"stream_sid":"b6","call_sid":"c","account_sid":"a","from":"f","to":"t","custom_parameters":{},"media_format":{"encoding":"base64","sample_rate":"8000","bit_rate":"128kbps"}}}"#;

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn dial(bot: &Bot, path: &str) -> std::result::Result<Self, Error> {
        let tcp = TcpStream::connect(bot.address()).await.unwrap();
        client_async(bot.url(path), tcp).await.map(|(socket, _)| Self(socket))
    }

    async fn begin(&mut self) {
        self.say(r#"{"event":"connected"}"#).await;
        self.say(START).await;
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn frame(&mut self, n: u64, sample: i16) {
        let pcm: Vec<u8> = [sample; 160].iter().flat_map(|s| s.to_le_bytes()).collect();
        let payload = base64_simd::STANDARD.encode_to_string(pcm);
        let (chunk, timestamp) = (n - 1, (n - 2) * 20);
        self.say(&format!(
            r#"{{"event":"media","sequence_number":"{n}","stream_sid":"b6","media":{{"chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}}}}"#
        ))
        .await;
    }

    async fn hear(&mut self) -> String {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => format!("{other:?}"),
        }
    }
}

async fn bot(script: Script, manners: Manners) -> Bot {
    Bot::start(Config { script, manners, ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn echo_gives_back_what_it_hears_and_keeps_it() {
    let bot = bot(Script::echo(), Manners::default()).await;
    let mut client = Client::dial(&bot, "/media?sample-rate=8000&a=b").await.unwrap();
    client.begin().await;
    client.frame(2, 1000).await;
    client.frame(3, 2000).await;
    assert!(client.hear().await.contains(r#""payload":"6APoA"#));
    client.hear().await;
    client.0.close(None).await.unwrap();
    while client.0.next().await.is_some() {}
    let seen = bot.until(|calls| calls[0].ended.is_some()).await;
    assert_eq!(seen[0].heard.samples, [[1000i16; 160], [2000; 160]].concat());
    assert_eq!(seen[0].faults, [""; 0]);
    assert_eq!(seen[0].upgrade.as_ref().unwrap().target, "/media?sample-rate=8000&a=b");
    assert_eq!(seen[0].ended.as_ref().unwrap().1, End::ByStreamKit(None));
}

#[tokio::test]
async fn faults_of_the_stream_are_found() {
    let bot = bot(Script::default(), Manners::default()).await;
    let mut client = Client::dial(&bot, "/").await.unwrap();
    client.begin().await;
    client.frame(2, 0).await;
    client.frame(4, 0).await;
    client.0.send(Message::binary(vec![0])).await.unwrap();
    let seen = bot.until(|calls| calls[0].faults.len() == 3).await;
    assert_eq!(seen[0].faults, ["sequence_number 4 after 2", "chunk 3 after 1", "a binary message"]);
    assert_eq!(seen[0].missing, 1);
    assert_eq!(seen[0].heard.samples.len(), 480, "what never came is silence in its place");
}

#[tokio::test]
async fn refusals_are_given_in_order_and_then_it_works() {
    let refuse = vec![503, 401];
    let bot = bot(Script::default(), Manners { refuse, ..Manners::default() }).await;
    for wanted in [503, 401] {
        match Client::dial(&bot, "/").await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), wanted),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    assert!(Client::dial(&bot, "/").await.is_ok());
    let seen = bot.until(|calls| calls.len() == 3 && calls[2].opened.is_some()).await;
    assert_eq!(seen[0].ended.as_ref().unwrap().1, End::Refused("HTTP 503".into()));
}

#[tokio::test]
async fn it_closes_with_its_code_and_breaks_off_without() {
    let closing = bot(Script::of(vec![Step::Close(4400, "enough".into())]), Manners::default()).await;
    let mut client = Client::dial(&closing, "/").await.unwrap();
    client.begin().await;
    let told = client.hear().await;
    assert!(told.contains("4400") && told.contains("enough"), "{told}");
    while client.0.next().await.is_some() {}
    let seen = closing.until(|calls| calls[0].ended.is_some()).await;
    assert_eq!(seen[0].ended.as_ref().unwrap().1, End::ByBot(4400));

    let breaking = bot(Script::of(vec![Step::Reset]), Manners::default()).await;
    let mut client = Client::dial(&breaking, "/").await.unwrap();
    client.begin().await;
    let told = client.hear().await;
    assert!(told.contains("reset"), "{told}");
}

#[tokio::test]
async fn a_clear_overtakes_nothing_and_marks_are_echoed_when_asked() {
    let sound = Sound::silence(SampleRate::Hz8000, Duration::from_millis(40));
    let steps = vec![Step::burst(sound), Step::Mark("a".into()), Step::Clear];
    let bot = bot(Script::of(steps), Manners { echo_marks: true, ..Manners::default() }).await;
    let mut client = Client::dial(&bot, "/").await.unwrap();
    client.begin().await;
    for wanted in [r#""event":"media""#, r#""event":"mark""#, r#""event":"clear""#] {
        assert!(client.hear().await.contains(wanted));
    }
    client.say(r#"{"event":"mark","sequence_number":"2","stream_sid":"b6","mark":{"name":"x"}}"#).await;
    assert!(client.hear().await.contains(r#""name":"x""#));
}

#[tokio::test]
async fn what_it_hears_is_recorded_under_the_stream_sid_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let record = Some(folder.path().to_owned());
    let bot = Bot::start(Config { tls: true, record, ..Config::default() }).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let path = folder.path().join("ca.pem");
    bot.certificate().unwrap().write(&path).unwrap();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(&path).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(bot.address()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.unwrap();
    let (mut socket, _) = client_async(bot.url("/"), stream).await.unwrap();
    for text in [r#"{"event":"connected"}"#, START] {
        socket.send(Message::text(text)).await.unwrap();
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    let recording = folder.path().join("b6.wav");
    while !recording.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
